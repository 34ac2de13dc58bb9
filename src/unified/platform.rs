//! `platform` of an event whose source says none: from the SDK's library, else the user agent.

/// Where an event was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// A browser.
    Web,
    /// A desktop program.
    Desktop,
    /// A phone or tablet.
    Mobile,
    /// A server.
    Server,
}

impl Platform {
    /// The text in the column; `other` for an event that tells nothing.
    #[must_use]
    pub const fn name(platform: Option<Self>) -> &'static str {
        match platform {
            Some(Self::Web) => "web",
            Some(Self::Desktop) => "desktop",
            Some(Self::Mobile) => "mobile",
            Some(Self::Server) => "server",
            None => "other",
        }
    }

    /// What both signs say together: a desktop program shows itself in the user agent while its
    /// library is the browser's; in all else the library knows better.
    #[must_use]
    pub const fn of(library: Option<Self>, user_agent: Option<Self>) -> Option<Self> {
        match (library, user_agent) {
            (Some(Self::Web) | None, other @ Some(_)) if matches!(other, Some(Self::Desktop)) => {
                other
            }
            (Some(library), _) => Some(library),
            (None, other) => other,
        }
    }
}

/// Words of the names of SDKs' libraries that tell a platform; the first entry with a word in the
/// name decides.
pub const LIBRARY_WORDS: [(Platform, &[&str]); 4] = [
    (Platform::Desktop, &["electron"]),
    (
        Platform::Mobile,
        &[
            "android",
            "ios",
            "swift",
            "kotlin",
            "native",
            "reactnative",
            "flutter",
            "unity",
            "cordova",
            "xamarin",
            "maui",
        ],
    ),
    (
        Platform::Server,
        &[
            "node", "python", "ruby", "go", "java", "php", "net", "dotnet", "csharp", "rust",
            "scala", "elixir", "clojure", "perl",
        ],
    ),
    (Platform::Web, &["javascript", "js", "next", "browser", "web"]),
];

/// What the name of an SDK's library says, such as `analytics-node` or `RudderLabs JavaScript SDK`.
#[must_use]
pub fn of_library(name: &str) -> Option<Platform> {
    let says = |words: &[&str]| {
        name.split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| words.iter().any(|known| word.eq_ignore_ascii_case(known)))
    };
    LIBRARY_WORDS.into_iter().find(|(_, words)| says(words)).map(|(platform, _)| platform)
}

/// What a user agent says.
#[must_use]
pub fn of_user_agent(text: &str) -> Option<Platform> {
    let says = |words: &[&str]| words.iter().any(|&word| text.contains(word));
    if says(&["Electron/"]) {
        Some(Platform::Desktop)
    } else if text.starts_with("Mozilla/") {
        Some(Platform::Web)
    } else if says(&["Dalvik/", "okhttp/", "CFNetwork/", "Dart/"]) {
        Some(Platform::Mobile)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platform_is_read_from_library_and_user_agent() {
        const CHROME: &str = "Mozilla/5.0 (X11; Linux x86_64) Chrome/122.0.0.0 Safari/537.36";
        const ELECTRON: &str = "Mozilla/5.0 (Macintosh) Chrome/120.0.0.0 Electron/28.2.1 Safari";
        const ANDROID: &str = "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8)";
        for (library, user_agent, expected) in [
            ("RudderLabs JavaScript SDK", CHROME, "web"),
            ("RudderLabs JavaScript SDK", ELECTRON, "desktop"),
            ("analytics.js", CHROME, "web"),
            ("analytics-next", "", "web"),
            ("com.rudderstack.android.sdk.core", ANDROID, "mobile"),
            ("rudder-ios-library", "", "mobile"),
            ("analytics-react-native", CHROME, "mobile"),
            ("@rudderstack/rudder-sdk-node", "", "server"),
            ("analytics-go", ELECTRON, "server"),
            ("", CHROME, "web"),
            ("", ELECTRON, "desktop"),
            ("", ANDROID, "mobile"),
            ("", "curl/8.5.0", "other"),
            ("my own thing", "", "other"),
        ] {
            let platform = Platform::of(of_library(library), of_user_agent(user_agent));
            assert_eq!(Platform::name(platform), expected, "{library} {user_agent}");
        }
    }
}
