//! What a process costs, read from /proc: processor time by thread, memory, and the machine it runs
//! on. Linux only; elsewhere every figure is absent, and nothing else changes.

use std::collections::HashMap;
use std::fs;

use serde::{Deserialize, Serialize};

/// One look at a process.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Seconds since the start of the measurement.
    pub(crate) at: f64,
    /// Processor time of all its threads so far, nanoseconds.
    pub(crate) cpu_ns: u64,
    /// The share of keelrow's loader in it.
    #[serde(default)]
    pub(crate) loader_ns: u64,
    /// Resident memory in bytes.
    pub(crate) rss: u64,
}

/// Watches one process; threads that end keep the time they had used when last seen.
#[derive(Debug)]
pub(crate) struct Watch {
    pid: u32,
    threads: HashMap<u32, (String, u64)>,
}

impl Watch {
    /// Watches `pid`.
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid, threads: HashMap::new() }
    }

    /// Looks now; none if the process is gone or this system has no /proc.
    pub(crate) fn sample(&mut self, at: f64) -> Option<Sample> {
        let folder = format!("/proc/{}/task", self.pid);
        for entry in fs::read_dir(folder).ok()?.flatten() {
            let Some(tid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // First field: nanoseconds on a processor, exact where `stat` counts 10 ms ticks.
            let spent = fs::read_to_string(entry.path().join("schedstat")).ok();
            let Some(spent) = spent.as_deref().and_then(first_number) else { continue };
            let thread = self.threads.entry(tid).or_insert_with(|| {
                let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                (name.trim().to_owned(), 0)
            });
            thread.1 = spent;
        }
        let pages = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let (cpu_ns, loader_ns) = (self.cpu_ns(""), self.cpu_ns("loader"));
        Some(Sample { at, cpu_ns, loader_ns, rss: status_bytes(&pages, "VmRSS:") })
    }

    /// Processor time of the threads whose name starts with `prefix`, at the last look.
    pub(crate) fn cpu_ns(&self, prefix: &str) -> u64 {
        self.threads
            .values()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(_, spent)| *spent)
            .sum()
    }

    /// Processor time of the whole process, threads that have ended included, in nanoseconds; the
    /// kernel tells it in steps of 10 ms. 0 if it is gone.
    pub(crate) fn process_ns(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat_cpu_ticks(&stat) * 10_000_000
    }

    /// Highest resident memory the process ever had, in bytes; 0 if it is gone.
    pub(crate) fn rss_peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        status_bytes(&status, "VmHWM:")
    }
}

/// User and system time out of `/proc/<pid>/stat`, in ticks of a hundredth of a second. The name in
/// front may hold anything, so fields are counted from its closing bracket.
fn stat_cpu_ticks(stat: &str) -> u64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let times = fields.split_ascii_whitespace().skip(11).take(2);
    times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Processor time of the calling thread, nanoseconds.
pub(crate) fn own_thread_ns() -> u64 {
    fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .as_deref()
        .and_then(first_number)
        .unwrap_or(0)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn status_bytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(first_number).unwrap_or(0) * 1_024
}

/// The machine a figure belongs to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Its processor.
    pub(crate) processor: String,
    /// Processors this process may use.
    pub(crate) processors: usize,
    /// Memory in bytes.
    pub(crate) memory: u64,
    /// Kernel.
    pub(crate) kernel: String,
}

impl Machine {
    /// Reads what the system says of itself.
    pub(crate) fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or_else(String::new, |(_, name)| name.trim().to_owned());
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor,
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory: status_bytes(&memory, "MemTotal:"),
            kernel: kernel.trim().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_lines_are_read() {
        assert_eq!(first_number("123 45 6\n"), Some(123));
        assert_eq!(first_number(""), None);
        let status = "Name:\tx\nVmHWM:\t   20 kB\nVmRSS:\t   12 kB\n";
        let stat = "7 (a ) b) S 1 7 7 0 -1 4 1 0 0 0 30 12 5 6 20 0 9";
        assert_eq!((stat_cpu_ticks(stat), stat_cpu_ticks("")), (42, 0));
        assert_eq!((status_bytes(status, "VmRSS:"), status_bytes(status, "Vm:")), (12_288, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_costs_something() {
        let mut watch = Watch::new(std::process::id());
        // The kernel adds up a running thread's time at its ticks, some milliseconds apart.
        let before = own_thread_ns();
        let spin = |_: &u32| {
            (0..1_000_000_u64).fold(0, |sum: u64, one| std::hint::black_box(sum ^ one));
            own_thread_ns() > before
        };
        assert!((0..100_000).any(|round: u32| spin(&round)), "no time passes");
        let sample = watch.sample(1.0).unwrap();
        assert!(sample.cpu_ns > 0 && sample.rss > 100_000);
        assert!(watch.rss_peak() >= sample.rss);
        assert_eq!(watch.cpu_ns("no such thread"), 0);
    }
}
