//! Variables of the environment: within values, and in place of keys.

use super::*;

#[test]
fn variables_go_into_values_after_parsing() {
    let environment = variables(&[("KEY", "a\"]\nb"), ("HOST", "events.example.com")]);
    let text = "[storage]\nurl = \"${KEY}\"\n[http]\npublic_url = \"https://${HOST}/x\"\n\
                [journal]\npath = \"$HOME {} a$\"";
    let config = parse(text, Path::new(FILE), &environment).unwrap();
    assert_eq!(config.storage.url, "a\"]\nb");
    assert_eq!(config.http.public_url.unwrap().to_string(), "https://events.example.com/x");
    assert_eq!(config.journal.path, Path::new("$HOME {} a$"));
    let unset = faults(read("[storage]\nurl = \"${NOT_SET}\""));
    let expected = "keelrow.toml:2: storage.url = \"${NOT_SET}\": \
                    the environment variable NOT_SET is not set";
    assert_eq!(unset, [expected]);
    // What is no variable is no literal either.
    for text in ["${FOO", "a${", "${}", "${a-b}", "${KEY}${FOO", "${1A}"] {
        let text = source("").replace("\"k1\"", &format!("\"{text}\""));
        let expected = "keelrow.toml:4: source[0].write_key: \
                        ${ must be followed by the name of an environment variable and }";
        assert_eq!(faults(parse(&text, Path::new(FILE), &environment)), [expected], "{text}");
    }
}

#[test]
fn overrides_take_variables_too() {
    let environment = variables(&[
        ("PACK", "pii"),
        ("NET", "10.0.0.0/8"),
        ("E", "qa"),
        ("KEYS", "k2"),
        ("KEELROW__HTTP__TRUSTED_PROXIES", "[\"${NET}\"]"),
        ("KEELROW__HTTP__PUBLIC_URL", "https://${E}.example"),
        (
            "KEELROW__SOURCE",
            "[{name=\"${E}\",environment=\"${E}\",transforms=[\"${PACK}\"],write_keys=[\"a\",\"${KEYS}\"]}]",
        ),
        ("KEELROW__SOURCE__0__ORIGINS", "[\"https://${E}.example\"]"),
    ]);
    let config = parse("", Path::new(FILE), &environment).unwrap_or_else(|e| panic!("{e}"));
    let [source] = config.sources.as_slice() else { unreachable!() };
    assert_eq!(
        (source.id.as_str(), source.transforms.as_slice()),
        ("qa_qa", &["pii".to_owned()][..])
    );
    assert_eq!(
        (source.keys.len(), source.origins.as_slice()),
        (2, &["https://qa.example".to_owned()][..])
    );
    assert_eq!(config.http.trusted_proxies, [Proxy::parse("10.0.0.0/8").unwrap()]);
    assert_eq!(config.http.public_url.unwrap().authority, "qa.example");
}

#[test]
fn an_override_whose_variables_are_not_there_is_a_fault() {
    for (name, text, key) in [
        ("SOURCE__0__TRANSFORMS", "[\"${GONE}\"]", "source[0].transforms[0] = \"${GONE}\""),
        ("SOURCE__0__TRANSFORMS", "[\"pii\", \"a ${GONE}\"]", "source[0].transforms[1]"),
        ("SOURCE__0__WRITE_KEYS", "[\"${GONE}\"]", "source[0].write_keys[0] = \"${GONE}\""),
        ("SOURCE__0__ORIGINS", "[\"${GONE}\"]", "source[0].origins[0] = \"${GONE}\""),
        (
            "SOURCE__0__LAYOUT",
            "{json_paths=[\"${GONE}\"]}",
            "source[0].layout.json_paths[0] = \"${GONE}\"",
        ),
        ("SOURCE__0__SCHEMA", "${GONE}", "source[0].schema = \"${GONE}\""),
        ("HTTP__TRUSTED_PROXIES", "[\"${GONE}\"]", "http.trusted_proxies[0] = \"${GONE}\""),
        ("STORAGE__URL", "s3://u:p@${GONE}", "storage.url"),
    ] {
        let name = format!("KEELROW__{name}");
        let environment = variables(&[(&name, text)]);
        let told = faults(parse(&source(""), Path::new(FILE), &environment));
        let expected =
            format!("environment variable {name}: {key}: the environment variable GONE is not set");
        assert_eq!(told, [expected]);
    }
}

#[test]
fn variables_that_are_no_text_are_faults() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let environment: Environment = [
        (bytes(b"KEELROW__SOURCE__0__TRANSFORMS"), bytes(b"[\"\xff\"]")),
        (bytes(b"KEELROW__\xfe"), bytes(b"x")),
        (bytes(b"LATIN"), bytes(b"\xe4")),
        (bytes(b"OTHER\xff"), bytes(b"\xe4")),
    ]
    .into_iter()
    .collect();
    let text = source("schema = \"${LATIN}\"");
    let expected = [
        "keelrow.toml:5: source[0].schema = \"${LATIN}\": the environment variable LATIN is not UTF-8",
        "environment variable KEELROW__SOURCE__0__TRANSFORMS: is not UTF-8",
        "environment variable KEELROW__\u{fffd}: is not UTF-8",
    ];
    assert_eq!(faults(parse(&text, Path::new(FILE), &environment)), expected);
}

#[test]
fn variables_override_keys() {
    let environment = variables(&[
        ("KEELROW__HTTP__LISTEN", "127.0.0.1:9"),
        ("KEELROW__HTTP__MAX_BATCH_EVENTS", "7"),
        ("KEELROW__HTTP__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
        ("KEELROW__NODE__NAME", "12"),
        ("KEELROW__SOURCE__0__ENABLED", "false"),
        ("KEELROW_PRIVACY_KEY", "not an override"),
    ]);
    let config = parse(&source(""), Path::new(FILE), &environment).unwrap();
    assert_eq!((config.http.listen.port(), config.http.max_batch_events), (9, 7));
    assert_eq!(config.http.trusted_proxies.len(), 1);
    assert_eq!(config.node.name, "12");
    assert!(!config.sources[0].enabled);

    let environment = variables(&[
        ("KEELROW__HTTP__MAX_BODY", "huge"),
        ("KEELROW__SOURCE__7__NAME", "x"),
        ("KEELROW__HTPT__LISTEN", "x"),
    ]);
    let faults = faults(parse(&source(""), Path::new(FILE), &environment));
    let expected = [
        "environment variable KEELROW__HTPT__LISTEN: htpt: unknown key, did you mean http?",
        "environment variable KEELROW__HTTP__MAX_BODY: http.max_body = \"huge\": must be a size with a unit, such as \"16MiB\"",
        "environment variable KEELROW__SOURCE__7__NAME: source[7]: must be from 0 to 0",
    ];
    assert_eq!(faults, expected);
}
