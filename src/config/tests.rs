mod variables;

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::units::Rate;

const FILE: &str = "keelrow.toml";

fn variables(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn read(text: &str) -> Result<Config, Faults> {
    parse(text, Path::new(FILE), &Environment::new())
}

fn source(rest: &str) -> String {
    format!("[[source]]\nname = \"web\"\nenvironment = \"prod\"\nwrite_key = \"k1\"\n{rest}\n")
}

/// Faults as `place key`, in order.
fn faults(result: Result<Config, Faults>) -> Vec<String> {
    let faults = result.unwrap_err();
    faults.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn nothing_written_means_the_documented_defaults() {
    let config = read("").unwrap();
    assert_eq!(config.http.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:8081");
    assert_eq!(config.http.trusted_proxies, [Proxy::Loopback, Proxy::Private]);
    assert_eq!((config.http.max_body, config.http.max_event), (16 << 20, 4 << 20));
    assert_eq!(config.http.max_batch_events, 10_000);
    assert_eq!((config.http.max_in_flight, config.http.max_connections), (256 << 20, 20_000));
    let seconds = [10, 30, 5, 75].map(Duration::from_secs);
    let http = &config.http;
    assert_eq!(
        [http.header_timeout, http.body_timeout, http.ack_timeout, http.idle_timeout],
        seconds
    );
    assert_eq!(config.journal.path, Path::new("keelrow-data/journal"));
    assert_eq!((config.journal.max_bytes, config.journal.keep), (20 << 30, Duration::ZERO));
    assert_eq!(config.journal.commit_delay, Duration::ZERO);
    assert_eq!(config.storage.url, "keelrow-data/lake");
    assert_eq!((config.load.dialect, config.load.max_age), ("datalake", Duration::from_secs(300)));
    assert_eq!((config.load.max_bytes, config.load.memory), (1 << 30, 128 << 20));
    assert_eq!(config.load.compression, Compression::Auto);
    assert_eq!(
        (config.dedup.window, config.dedup.max_keys),
        (Duration::from_secs(86_400), 7_000_000)
    );
    assert_eq!(config.clock.max_future, Duration::from_secs(86_400));
    assert_eq!(config.clock.min.micros(), 31_536_000_000_000);
    assert_eq!((config.privacy.key_id, &config.privacy.key), (1, &None));
    assert_eq!(config.scripts.cpu_per_call, Duration::from_millis(100));
    assert_eq!(
        (config.scripts.memory, config.shutdown.deadline),
        (64 << 20, Duration::from_secs(10))
    );
    assert!(!config.node.name.is_empty());
}

#[test]
fn a_source_has_its_defaults() {
    let config = read(&source("")).unwrap();
    let [source] = config.sources.as_slice() else { unreachable!() };
    assert_eq!((source.id.as_str(), source.schema.as_str()), ("web_prod", "web_prod"));
    assert_eq!((source.kind, source.platform, source.rate_limit), (Kind::Sdk, None, None));
    assert_eq!(source.transforms, ["pii"]);
    assert!(source.enabled && !source.keep_received_at && source.origins.is_empty());
    assert_eq!(source.layout, Layout::default());
}

#[test]
fn a_schema_made_of_an_id_is_a_name() {
    let config = read(&source("id = \"9 Web-App\"")).unwrap();
    assert_eq!(config.sources[0].schema, "_9_web_app");
}

#[test]
fn every_key_can_be_written() {
    let text = include_str!("../../docs/configuration.md");
    let block = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let environment = variables(&[
        ("ADMIN_TOKEN", "t0ken"),
        ("KEELROW_PRIVACY_KEY", "0123456789abcdef"),
        ("WEBAPP_PROD_KEY", "wk"),
    ]);
    let config = parse(block, Path::new(FILE), &environment).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(config.sources[0].rate_limit, Some(Rate::parse("1000/s").unwrap()));
    assert_eq!(config.unified[0].aliases["category"], ["catggory"]);
    assert_eq!(config.columns[0].r#type, ColumnType::Float);

    let context = context::Context::default();
    let tree = tree::Tree::read(block, &environment, &context);
    sections::read(&tree, PathBuf::from(FILE), &context);
    for path in context.keys() {
        let key = path.rsplit('.').next().unwrap_or_default();
        assert!(text.contains(key), "docs/configuration.md does not tell of {path}");
    }
}

#[test]
fn examples_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let environment = variables(&[("WEBAPP_WRITE_KEY", "wk")]);
    let minimal = load(&folder.join("minimal.toml"), &environment);
    assert_eq!(minimal.unwrap_or_else(|e| panic!("{e}")).sources.len(), 1);
    let mattermost = load(&folder.join("mattermost.toml"), &Environment::new());
    assert_eq!(mattermost.unwrap_or_else(|e| panic!("{e}")).sources.len(), 14);
}

#[test]
fn all_faults_are_told_at_once_with_line_key_value_and_range() {
    let text = r#"
[http]
listen = "nowhere"
max_body = "12"
max_batch_events = 0
header_timeout = 10
max_bodyy = "1MiB"
[journal]
kind = "kafka"
keep = "-1s"
[storage]
url = "ftp://x"
[[source]]
name = "web"
environment = "prod"
[[source]]
nam = "x"
environment = "Prod"
write_key = "a b"
"#;
    let expected = [
        "keelrow.toml:3: http.listen = \"nowhere\": must be an address and port, such as \"0.0.0.0:8080\"",
        "keelrow.toml:4: http.max_body = \"12\": must be a size with a unit, such as \"16MiB\"",
        "keelrow.toml:5: http.max_batch_events = 0: must be from 1 to 1000000",
        "keelrow.toml:6: http.header_timeout = 10: must be text in quotes",
        "keelrow.toml:7: http.max_bodyy: unknown key, did you mean max_body?",
        "keelrow.toml:9: journal.kind = \"kafka\": must be \"disk\"",
        "keelrow.toml:10: journal.keep = \"-1s\": must be a time with a unit, such as \"250ms\" or \"24h\"",
        "keelrow.toml:12: storage.url = \"ftp://x\": must be a folder, or a URL that starts with file://, s3://, gs:// or az://",
        "keelrow.toml:13: source[0].write_key: missing: a key, or write_key_sha256",
        "keelrow.toml:16: source[1].name: missing: 1 to 128 bytes of printable text without white space at its ends",
        "keelrow.toml:17: source[1].nam: unknown key, did you mean name?",
        "keelrow.toml:18: source[1].environment = \"Prod\": must be 1 to 32 lower-case letters, digits or \"_\", such as \"prod\"",
        "keelrow.toml:19: source[1].write_key: must be 1 to 128 printable ASCII characters without space or colon",
    ];
    assert_eq!(faults(read(text)), expected);
}

/// Exactly one fault, at `key`.
fn check(text: &str, key: &str) {
    match read(text) {
        Err(faults) => {
            let found: Vec<&str> = faults.list().iter().map(|f| f.key.as_str()).collect();
            assert_eq!(found, [key], "{text}\n{faults}");
        }
        Ok(_) => panic!("no fault in {text}"),
    }
}

#[test]
fn each_fault_of_a_section_is_found() {
    for (text, key) in [
        ("[http", ""),
        ("x = 1", "x"),
        ("http = 1", "http"),
        ("source = 1", "source"),
        ("[node]\nname = \"a b\"", "node.name"),
        ("[http]\nadmin_listen = \"0.0.0.0:1\"", "http.admin_token"),
        ("[http]\nadmin_token = \" \"", "http.admin_token"),
        ("[http]\npublic_url = \"example.com\"", "http.public_url"),
        ("[http]\ntrusted_proxies = [\"all\"]", "http.trusted_proxies"),
        ("[http]\ntrusted_proxies = \"all\"", "http.trusted_proxies"),
        ("[http]\nmax_in_flight = \"17MiB\"", "http.max_in_flight"),
        ("[http]\nack_timeout = \"2m\"", "http.ack_timeout"),
        ("[http]\ntls = { certificate = \"a\" }", "http.tls.key"),
        ("[http]\ntls = { certificate = \"a\", key = \"b\", k = 1 }", "http.tls.k"),
        ("[storage]\nurl = \"s3://\"", "storage.url"),
        ("[storage]\nurl = \"gs:///lake\"", "storage.url"),
        ("[storage]\nurl = \"az://bucket/a//b\"", "storage.url"),
        ("[storage]\nurl = \"s3://bucket/../b\"", "storage.url"),
        ("[storage]\nurl = \"file://lake\"", "storage.url"),
        ("[storage]\nurl = \"./a/../d/\"\n[journal]\npath = \"d\"", "storage.url"),
        ("[storage]\nurl = \"file:///d\"\n[journal]\npath = \"/d/\"", "storage.url"),
        ("[load]\ndialect = \"oracle\"", "load.dialect"),
        ("[load]\ncompression = \"gzip\"", "load.compression"),
        ("[clock]\nmin = \"yesterday\"", "clock.min"),
        ("[privacy]\nkey = \"short\"", "privacy.key"),
        ("[privacy]\nkey = \"0123456789\"", "privacy.key"),
        (
            "[http]\nlisten = \"[::]:1\"\nadmin_listen = \"[::]:1\"\nadmin_token = \"t\"",
            "http.admin_listen",
        ),
        ("[privacy]\nkey = \"0123456789abcdef\"\nkey_file = \"f\"", "privacy.key"),
        ("[dedup]\nmax_keys = -1", "dedup.max_keys"),
        ("[dedup]\nmax_keys = \"1\"", "dedup.max_keys"),
    ] {
        check(text, key);
    }
}

#[test]
fn each_fault_of_a_source_or_table_is_found() {
    let two = |first: &str, second: &str| {
        format!("{}{}", source(first), source(second).replace("\"k1\"", "\"k2\""))
    };
    for (text, key) in [
        (source("platform = \"tv\""), "source[0].platform"),
        (source("kind = \"cloud\""), "source[0].kind"),
        (source("schema = \"Prod-1\""), "source[0].schema"),
        (source("schema = \"unified_prod\""), "source[0].schema"),
        (source("rate_limit = \"fast\""), "source[0].rate_limit"),
        (source("id = \"unknown\""), "source[0].id"),
        (source("origins = [\"app.example.com\"]"), "source[0].origins"),
        (source("origins = [\"https://a.example/x\"]"), "source[0].origins"),
        (source("transforms = [\"pii\", \"pii\"]"), "source[0].transforms"),
        (source("transforms = [1]"), "source[0].transforms"),
        (source("enabled = \"yes\""), "source[0].enabled"),
        (source("write_keys = [\"\"]"), "source[0].write_keys"),
        (source("write_key_sha256 = \"abc\""), "source[0].write_key_sha256"),
        (source("layout = { skip = true }"), "source[0].layout.skip"),
        (source("layout = { json_paths = \"a\" }"), "source[0].layout.json_paths"),
        (two("", ""), "source[1].id"),
        (source("") + &source("id = \"o\""), "source[1].write_key"),
        (
            two(
                "schema = \"s\"",
                "id = \"o\"\nschema = \"s\"\n[[source]]\nname = \"q\"\nenvironment = \"qa\"\nwrite_key = \"k3\"\nschema = \"s\"",
            ),
            "source[2].schema",
        ),
        ("[[unified]]\ngeneration = 1".to_owned(), "unified[0].name"),
        (
            "[[unified]]\nname = \"u\"\nenvironments = [\"prod\"]".to_owned(),
            "unified[0].environments",
        ),
        (
            "[[unified]]\nname = \"u\"\naliases = { a = [\"b\"], c = [\"b\"] }".to_owned(),
            "unified[0].aliases",
        ),
        ("[[unified]]\nname = \"u\"\naliases = { a = \"b\" }".to_owned(), "unified[0].aliases.a"),
        (source("") + "[[unified]]\nname = \"u\"\n[[unified]]\nname = \"u\"", "unified[1].name"),
        ("[[column]]\nname = \"a\"".to_owned(), "column[0].type"),
        ("[[column]]\nname = \"a\"\ntype = \"money\"".to_owned(), "column[0].type"),
    ] {
        check(&text, key);
    }
}

#[test]
fn a_broken_line_is_told_alone() {
    for (text, line) in [
        ("[node]\nname = \"a\n[[source]]\nname = \"b\"", 2),
        ("[node]\nname = \"a\"\nname = \"b\"", 3),
        ("[node]\nname =\n[http]\nmax_body = 1", 2),
    ] {
        let faults = read(text).unwrap_err();
        for fault in faults.list() {
            assert!(matches!(fault.problem, Problem::Syntax { .. }), "{faults}");
        }
        assert_eq!(faults.list()[0].place, Place::Line(line), "{faults}");
    }
}

#[test]
fn no_secret_is_shown() {
    let secrets = ["top-secret-1", "top-secret-2-of-16", "top-secret-3", "top-secret-4"];
    let text = format!(
        "[http]\nadmin_token = \"{}\"\n[privacy]\nkey = \"{}\"\n[[source]]\nname = \"w\"\n\
         environment = \"qa\"\nwrite_key = \"{}\"\nwrite_keys = [\"{}\"]",
        secrets[0], secrets[1], secrets[2], secrets[3]
    );
    let config = read(&text).unwrap();
    let mut shown = show(&config) + &format!("{config:?}");
    // Misspelled and misplaced ones too.
    let wrong = text.replace("top-secret-3", "top-secret-3 ").replace("token", "tokn");
    let wrong = wrong.replace("top-secret-4\"]", "top-secret-4:\"]");
    shown += &read(&wrong).unwrap_err().to_string();
    for secret in secrets {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn no_fault_shows_a_secret_that_stands_in_the_wrong_place() {
    let secret = "top-secret-5";
    let list = format!("write_key_sha256 = [\"{secret}\"]");
    for text in [
        source(&format!("write_key_sha256 = \"{secret}\"")),
        source(&list),
        source(&format!("write_keys = \"[{secret}\"")),
        source("") + &format!("[storage]\nurl = \"s3://key:{secret}@bucket/x\""),
        source("") + &format!("[storage]\nurl = \"az://bucket/x?sig={secret}\""),
        source("") + &format!("[storage]\nurl = \"ftp://u:{secret}@host\""),
        source("") + &format!("[http]\npublic_url = \"https://u:{secret}@host/\""),
    ] {
        let told = read(&text).unwrap_err().to_string();
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn faults_read_as_sentences() {
    for (text, told) in [
        (
            source("rate_limit = \"fast\""),
            "5: source[0].rate_limit = \"fast\": must be a rate such as \"1000/s\", \"500/m\" or \"100/h\"",
        ),
        (
            "[storage]\nurl = \"s3://u:p@bucket/x?sig=1\"".to_owned(),
            "2: storage.url = \"s3://(hidden)bucket/x\": must be a URL without user, password or \
             query: credentials come from the environment",
        ),
    ] {
        assert_eq!(faults(read(&text)), [format!("keelrow.toml:{told}")]);
    }
}

#[test]
fn a_journal_in_the_lake_is_known() {
    for (url, path, is) in [
        ("lake", "lake/journal", true),
        ("file:///d", "/d/e/../journal", true),
        ("s3://d", "d/journal", false),
        ("d/lake", "d/journal", false),
        ("d/lake", "d/lake-journal", false),
        ("d/journal/lake", "d/journal", false),
    ] {
        let text = format!("[storage]\nurl = {url:?}\n[journal]\npath = {path:?}");
        assert_eq!(read(&text).unwrap().journal_is_in_lake(), is, "{url} {path}");
    }
}

#[test]
fn what_is_shown_reads_back() {
    let text = source("rate_limit = \"5/m\"\norigins = [\"https://a.example\"]")
        + "[[unified]]\nname = \"u\"\naliases = { a = [\"b\"] }\nexclude_events = [\"x_*\"]\n\
           [[column]]\nname = \"price\"\ntype = \"float\"\n[http]\npublic_url = \"http://a/b\"\n\
           tls = { certificate = \"c.pem\", key = \"k.pem\" }";
    let config = read(&text).unwrap();
    let again = read(&show(&config)).unwrap_or_else(|e| panic!("{e}\n{}", show(&config)));
    assert_eq!(
        (&again.http, &again.unified, &again.columns),
        (&config.http, &config.unified, &config.columns)
    );
    assert_eq!((&again.clock, &again.load), (&config.clock, &config.load));
    let keys = config.sources[0].keys.clone();
    assert_eq!(Source { keys, ..again.sources[0].clone() }, config.sources[0]);
}

#[test]
fn a_reload_names_what_needs_a_restart() {
    let old = read(&source("")).unwrap();
    let new = read(&(source("enabled = false") + "[http]\nlisten = \"127.0.0.1:1\"\nmax_body = \"1MiB\"\n[storage]\nurl = \"elsewhere\"")).unwrap();
    assert_eq!(needs_restart(&old, &new), ["http.listen", "storage"]);
    assert_eq!(needs_restart(&old, &old), [""; 0]);
    let new = "[http]\nmax_connections = 7\nmax_event = \"1MiB\"\nmax_batch_events = 7\n\
               [clock]\nmax_future = \"1h\"\n[scripts]\nmemory = \"1MiB\"";
    let new = read(&(source("") + new)).unwrap();
    let expected =
        ["http.max_event", "http.max_batch_events", "http.max_connections", "clock", "scripts"];
    assert_eq!(needs_restart(&old, &new), expected);
}

#[test]
fn the_documentation_names_what_needs_a_restart() {
    let text = include_str!("../../docs/configuration.md");
    let told = text.split("after a restart").nth(1).and_then(|rest| rest.split('.').next());
    let told: Vec<&str> = told.unwrap().split('`').skip(1).step_by(2).collect();
    for (key, _) in reload::RESTART {
        let name = key.strip_prefix("http.").unwrap_or(key).split('.').next().unwrap();
        assert!(told.contains(&name) || name == "privacy", "{key} is not in {told:?}");
    }
}

#[tokio::test]
async fn a_changed_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    std::fs::write(&file, "").unwrap();
    let mut watcher = Watcher::new(&file, []).unwrap();
    let other = folder.path().join("new.toml");
    std::fs::write(&other, "[node]").unwrap();
    std::fs::rename(&other, &file).unwrap();
    tokio::time::timeout(Duration::from_secs(20), watcher.changed()).await.unwrap();
    assert!(Watcher::new(Path::new("/nowhere/keelrow.toml"), []).is_err());
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let faults = faults(load(Path::new("/nowhere/keelrow.toml"), &Environment::new()));
    assert_eq!(faults, ["/nowhere/keelrow.toml: cannot be read: entity not found"]);
}

#[test]
fn a_fault_beside_a_missing_name_says_what_it_can() {
    let block = "[[unified]]\nname = \"u\"\n";
    let nameless = "[[source]]\nname = \"web\"\nwrite_key = \"k1\"\n";
    let told = faults(read(&format!("{nameless}{block}{block}")));
    let why = "two blocks make the same table in one environment";
    let line = told.iter().find(|line| line.contains(why)).unwrap();
    assert!(line.ends_with(&format!("{why} (that of a source without one)")), "{line}");
    let told = faults(read(&format!("{}{block}{block}", source(""))));
    assert!(told[0].ends_with(&format!("{why} (prod)")), "{told:?}");
    // What has no name is no other's equal.
    let both = "[[unified]]\n[[unified]]\n[[column]]\ntype = \"int\"\n[[column]]\ntype = \"int\"\n";
    let told = faults(read(&(source("") + both)));
    assert!(told.len() == 4 && told.iter().all(|line| line.contains("name: missing")), "{told:?}");
}
