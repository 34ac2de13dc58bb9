// The page only starts the service worker; the SDK runs in there.
window.begin = async () => {
  await navigator.serviceWorker.register("/rudder-worker.sw.js");
  window.worker = (await navigator.serviceWorker.ready).active;
};
window.calls = (job) =>
  new Promise((ok, no) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => (data === "made" ? ok() : no(new Error(data)));
    window.worker.postMessage(job, [port2]);
  });
