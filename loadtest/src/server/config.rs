//! Configurations for the servers we start: made from a profile, or a user's own whose addresses
//! and folders are overruled through the environment.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::payload::Client;
use crate::profile::Source;

/// Environment variables: name and value.
pub(crate) type Variables = Vec<(String, String)>;

/// How a server is set up in its folder.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Everything of the server lies here.
    pub(crate) folder: PathBuf,
    /// Journal folder, if it is to lie elsewhere.
    pub(crate) journal: Option<PathBuf>,
    /// Who may send; ignored with a configuration of the user's own.
    pub(crate) sources: Vec<Source>,
    /// The user's own configuration.
    pub(crate) own: Option<PathBuf>,
    /// Longest age of a batch, as the configuration writes it.
    pub(crate) max_age: String,
    /// Whether the default transformations run.
    pub(crate) transforms: bool,
    /// Write key of a webhook source beside the others.
    pub(crate) webhook: Option<String>,
    /// Whether it ends with this program in any case, which takes some milliseconds of its start.
    pub(crate) tied: bool,
}

impl Setup {
    /// The default product in `folder` for these sources.
    pub(crate) fn new(folder: &Path, sources: &[Source]) -> Self {
        Self {
            folder: folder.to_owned(),
            journal: None,
            sources: sources.to_vec(),
            own: None,
            max_age: "5m".to_owned(),
            transforms: true,
            webhook: None,
            tied: true,
        }
    }

    /// Where the lake is.
    pub(crate) fn lake(&self) -> PathBuf {
        self.folder.join("lake")
    }

    /// Where the journal is.
    pub(crate) fn journal(&self) -> PathBuf {
        self.journal.clone().unwrap_or_else(|| self.folder.join("journal"))
    }

    /// The configuration file; written now unless it is the user's own.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn file(&self) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("create {}", self.folder.display()))?;
        if let Some(own) = &self.own {
            return std::path::absolute(own).with_context(|| format!("find {}", own.display()));
        }
        let path = self.folder.join("keelrow.toml");
        std::fs::write(&path, self.text()).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    fn text(&self) -> String {
        let mut text = String::from("[node]\nname = \"loadtest\"\n");
        for source in &self.sources {
            let Source { name, environment, client, write_key, .. } = source;
            let transforms = if self.transforms { "" } else { "transforms = []\n" };
            text.push_str(&format!(
                "\n[[source]]\nname = {}\nwrite_key = {}\nenvironment = {}\nplatform = \"{}\"\n\
                 schema = {}\n{transforms}",
                quoted(name),
                quoted(write_key),
                quoted(environment),
                client.platform(),
                quoted(&format!("{name}_{environment}")),
            ));
        }
        if let Some(key) = &self.webhook {
            let transforms = if self.transforms { "" } else { "transforms = []\n" };
            text.push_str(&format!(
                "\n[[source]]\nname = \"hook\"\nkind = \"webhook\"\nwrite_key = {}\n\
                 environment = \"prod\"\nplatform = \"server\"\n{transforms}",
                quoted(key),
            ));
        }
        text
    }

    /// Whether its public listener speaks TLS, which only a configuration of the user's own makes it do.
    pub(crate) fn secured(&self) -> bool {
        let text = self.own.as_ref().and_then(|own| std::fs::read_to_string(own).ok());
        let table = text.and_then(|text| text.parse::<toml::Table>().ok()).unwrap_or_default();
        table.get("http").is_some_and(|http| http.get("tls").is_some())
    }

    /// Environment variables that put addresses and folders where we want them.
    pub(crate) fn environment(&self, port: u16, admin_port: u16) -> Vec<(String, String)> {
        let mut pairs = vec![
            ("KEELROW__HTTP__LISTEN", format!("127.0.0.1:{port}")),
            ("KEELROW__HTTP__ADMIN_LISTEN", format!("127.0.0.1:{admin_port}")),
            ("KEELROW__JOURNAL__PATH", self.journal().display().to_string()),
            ("KEELROW__STORAGE__URL", self.lake().display().to_string()),
            ("KEELROW__LOAD__MAX_AGE", self.max_age.clone()),
        ];
        if self.own.is_some() {
            pairs.push(("KEELROW__NODE__NAME", "loadtest".to_owned()));
        }
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Reads the sources of a user's configuration, with the write keys they really have, and the
/// environment variables that had to be invented because the file names them and they are not set.
///
/// # Errors
/// When the file is no such configuration.
pub(crate) fn sources_of(path: &Path) -> anyhow::Result<(Vec<Source>, Variables)> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
    let table: toml::Table = text.parse().with_context(|| format!("read {name}"))?;
    let mut invented = Vec::new();
    let mut sources = Vec::new();
    let listed = table.get("source").and_then(toml::Value::as_array);
    for entry in listed.into_iter().flatten() {
        let word = |key: &str| entry.get(key).and_then(toml::Value::as_str);
        let several = entry.get("write_keys").and_then(toml::Value::as_array);
        let first = several.and_then(|keys| keys.first()).and_then(toml::Value::as_str);
        let enabled = entry.get("enabled").and_then(toml::Value::as_bool).unwrap_or(true);
        // A key that is given as a hash only cannot be sent with.
        let Some(key) = word("write_key").or(first).filter(|_| enabled) else { continue };
        if word("kind").is_some_and(|kind| kind != "sdk") {
            continue;
        }
        sources.push(Source {
            name: word("name").unwrap_or_default().to_owned(),
            client: Client::of_platform(word("platform").unwrap_or_default()),
            environment: word("environment").unwrap_or("prod").to_owned(),
            write_key: expand(key, &mut invented),
            weight: 1,
        });
    }
    ensure!(!sources.is_empty(), "{name} has no source that events can be sent to");
    // References outside of keys must resolve as well, or the server refuses to start.
    expand(&text, &mut invented);
    Ok((sources, invented))
}

/// Puts environment variables in place of `${NAME}`; those not set are invented.
fn expand(text: &str, invented: &mut Vec<(String, String)>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else { break };
        let value = std::env::var(name).ok().or_else(|| {
            invented.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        });
        let value = value.unwrap_or_else(|| {
            let value = format!("loadtest-{}", name.to_ascii_lowercase());
            invented.push((name.to_owned(), value.clone()));
            value
        });
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    #[test]
    fn a_generated_configuration_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile::open("corpus").unwrap();
        let mut setup = Setup::new(folder.path(), &profile.sources);
        setup.transforms = false;
        let path = setup.file().unwrap();
        let (sources, invented) = sources_of(&path).unwrap();
        assert_eq!(sources.len(), 14);
        assert!(invented.is_empty());
        assert_eq!(sources[3].write_key, profile.sources[3].write_key);
        assert_eq!(sources[3].client.platform(), "server");
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.matches("transforms = []").count(), 14);
        let environment = setup.environment(1, 2);
        assert!(environment.contains(&("KEELROW__HTTP__LISTEN".into(), "127.0.0.1:1".into())));
    }

    #[test]
    fn a_users_configuration_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        let text = r#"
            # ${LOADTEST_NO_SUCH_B}
            [[source]]
            name = "a"
            write_key = "x-${LOADTEST_NO_SUCH_A}"
            platform = "mobile"
            [[source]]
            name = "hidden"
            write_key_sha256 = "00"
            [[source]]
            name = "off"
            write_key = "k"
            enabled = false
            [[source]]
            name = "b"
            write_keys = ["first", "second"]"#;
        std::fs::write(&path, text).unwrap();
        let (sources, invented) = sources_of(&path).unwrap();
        let mut setup = Setup::new(folder.path(), &sources);
        setup.own = Some(path.clone());
        assert!(!setup.secured());
        std::fs::write(&path, "[http.tls]\ncertificate = \"c\"\nkey = \"k\"\n").unwrap();
        assert!(setup.secured());
        let keys: Vec<&str> = sources.iter().map(|source| source.write_key.as_str()).collect();
        assert_eq!(keys, ["x-loadtest-loadtest_no_such_a", "first"]);
        assert_eq!(sources[0].client, Client::Mobile);
        assert_eq!(invented.len(), 2);
    }
}
