"""The SDKs that are tested: which program runs each, and in what it differs from the others.

Pure data. What is told here of an SDK is its own behaviour, seen with the pinned version; none of it
is a wish of the gateway. docs/sdks.md tells the same to users.
"""

import dataclasses

# Bytes of the large event. Several SDKs refuse an event above 32 KiB, a browser a beacon above 64 KiB.
LARGE = 300_000
BELOW_32_KIB = 27_000


@dataclasses.dataclass(frozen=True)
class Sdk:
    """One SDK in one setting; `name` is also its source's name and, with `_`, its schema."""

    name: str
    # What runs it: node, python, browser, worker, rust, go, java, mobile.
    runner: str
    # What the rows' context_library_name must be; empty where the SDK sends none.
    library: str
    large: int = LARGE
    # Calls that the SDK does not have.
    lacks: tuple[str, ...] = ()
    # The traits of `identify` are sent in the context only.
    context_traits: bool = False
    # `alias` sends the current user instead of the one that was given.
    alias_is_current: bool = False
    # False: the SDK sends no messageId, so a retry may make a second row: at least once.
    message_id: bool = True
    # False: what was not answered is gone, as with a beacon: no row may be expected after a fault.
    retries: bool = True
    # False: what was called just before the page is left may be lost in the SDK.
    outlives_page: bool = True
    # False: three retries within a second and a half, then a batch is dropped.
    patient: bool = True
    # The source's platform; empty: the gateway tells it from the event.
    platform: str = "server"
    # The user agent that a browser is given.
    user_agent: str = ""

    @property
    def schema(self):
        return self.name.replace("-", "_")

    @property
    def expected_platform(self):
        if self.user_agent:
            return "desktop"
        # A worker says neither browser nor server: a source for it had better name its platform.
        return {"browser": "web", "worker": "other", "mobile": "mobile"}.get(self.runner, "server")


ELECTRON = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chat/6.1.0 Chrome/156.0.0.0 Electron/44.0.0 Safari/537.36"
)
JS = "RudderLabs JavaScript SDK"

NODE = [
    Sdk("rudder-node-gzip", "node", "analytics-node", patient=False),
    Sdk("rudder-node-plain", "node", "analytics-node", patient=False),
    Sdk("segment-node", "node", "@segment/analytics-node", large=BELOW_32_KIB),
    Sdk("segment-node-legacy", "node", "analytics-node", large=BELOW_32_KIB, patient=False),
    Sdk("rudder-worker-node", "node", "analytics-service-worker", patient=False),
]
PYTHON = [
    Sdk("rudder-python-gzip", "python", "analytics-python", context_traits=True),
    Sdk("rudder-python-plain", "python", "analytics-python", context_traits=True),
    Sdk("segment-python-gzip", "python", "analytics-python", large=BELOW_32_KIB),
    Sdk("segment-python-plain", "python", "analytics-python", large=BELOW_32_KIB),
]
BROWSER = [
    Sdk("rudder-js", "browser", JS, lacks=("screen",), context_traits=True, platform=""),
    Sdk("rudder-js-batch", "browser", JS, lacks=("screen",), context_traits=True, platform=""),
    Sdk("rudder-js-beacon", "browser", JS, large=BELOW_32_KIB, lacks=("screen",), context_traits=True,
        retries=False, platform=""),
    Sdk("rudder-js-legacy", "browser", JS, lacks=("screen",), context_traits=True, platform=""),
    Sdk("rudder-js-lite", "browser", JS, lacks=("screen",), context_traits=True, platform=""),
    Sdk("rudder-js-v1", "browser", JS, lacks=("screen",), context_traits=True, platform=""),
    Sdk("rudder-js-v1-beacon", "browser", JS, large=BELOW_32_KIB, lacks=("screen",), context_traits=True,
        retries=False, platform=""),
    Sdk("rudder-js-desktop", "browser", JS, lacks=("screen",), context_traits=True, platform="",
        user_agent=ELECTRON),
    Sdk("segment-js", "browser", "analytics.js", alias_is_current=True, outlives_page=False, platform=""),
    Sdk("segment-js-batch", "browser", "analytics.js", large=BELOW_32_KIB, alias_is_current=True, platform=""),
    Sdk("rudder-worker", "worker", "analytics-service-worker", patient=False, platform=""),
]
RUST = [
    Sdk("rudder-rust", "rust", "RudderStack Rust SDK", message_id=False),
    Sdk("rudder-rust-batch", "rust", "RudderStack Rust SDK", message_id=False),
    Sdk("segment-rust", "rust", "", message_id=False),
    Sdk("segment-rust-batch", "rust", "", large=BELOW_32_KIB),
]
GO = [
    Sdk("rudder-go-gzip", "go", "analytics-go", large=BELOW_32_KIB),
    Sdk("rudder-go-plain", "go", "analytics-go", large=BELOW_32_KIB),
    Sdk("segment-go", "go", "analytics-go", large=BELOW_32_KIB),
]
JAVA = [
    Sdk("rudder-java", "java", "analytics-java"),
    Sdk("segment-java", "java", "analytics-java", large=BELOW_32_KIB),
]
# No SDK of a phone can be run without one: mobile/send.py sends what they send.
MOBILE = [
    Sdk("rudder-android", "mobile", "com.rudderstack.android.sdk.core", context_traits=True, platform=""),
    Sdk("rudder-ios", "mobile", "rudder-ios-library", context_traits=True, platform=""),
    Sdk("segment-react-native", "mobile", "@segment/analytics-react-native", platform=""),
]
ALL = NODE + PYTHON + BROWSER + RUST + GO + JAVA + MOBILE
