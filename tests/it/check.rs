//! `keelrow check` as a process: what is wrong, for people and for programs.

use std::path::Path;

use serde_json::{Value, json};

use crate::commands::{configuration, keelrow, run, text};

#[test]
fn check_tells_all_faults_at_once_and_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keelrow.toml");
    let wrong =
        configuration(folder.path()).replace("127.0.0.1:0\"\nadmin", "nowhere\"\nadmin").replace(
            "write_key = \"wk\"",
            "write_key = \"wk\"\nno_such_key = 1\ntransforms = [\"pii\", \"nope\", \"gone.js\", \"gone.toml\"]",
        );
    std::fs::write(&file, wrong).unwrap();
    let output = run(&["check", "--config", file.to_str().unwrap()], "");
    let faults = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{faults}");
    assert!(faults.contains("http.listen") && faults.contains("no_such_key"), "{faults}");
    for name in ["nope", "gone.js", "gone.toml"] {
        let place = format!("keelrow.toml: source[0].transforms = {name:?}: ");
        assert!(faults.contains(&place), "{place}: {faults}");
    }
    // What it names beside itself.
    let files = "[http.tls]\ncertificate = \"x.pem\"\nkey = \"y.pem\"\n\
                 [privacy]\nkey_file = \"z.key\"\nsuppression_file = \"list.txt\"\n";
    std::fs::write(folder.path().join("z.key"), "too short").unwrap();
    std::fs::write(&file, configuration(folder.path()) + files).unwrap();
    let output = run(&["check", "--config", file.to_str().unwrap()], "");
    let faults = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{faults}");
    for key in [
        "http.tls: cannot read x.pem",
        "http.tls: cannot read y.pem",
        "privacy.key_file",
        "privacy.suppression_file",
    ] {
        let line = faults.lines().find(|line| line.contains(key));
        assert!(line.is_some_and(|line| line.contains("keelrow.toml: ")), "{key}: {faults}");
    }
    // The same for programs.
    let output = run(&["check", "--json", "--config", file.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(2));
    let told: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let keys: Vec<&str> = told.iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["http.tls", "http.tls", "privacy.key_file", "privacy.suppression_file"]);
    for (one, line) in told.iter().zip(faults.lines()) {
        assert!(one["severity"] == "fault" && one["file"] == file.to_str().unwrap(), "{one}");
        assert!(line.ends_with(one["reason"].as_str().unwrap()), "{one} is not {line}");
    }
    // A key that is no good is told once, and nothing else of it.
    for storage in ["lake", "s3://bucket"] {
        let short = format!("[storage]\nurl = \"{storage}\"\n[privacy]\nkey = \"short\"\n");
        std::fs::write(&file, short).unwrap();
        let output = run(&["check", "--config", file.to_str().unwrap()], "");
        let faults = text(&output.stderr);
        assert_eq!(faults.matches("privacy.key").count(), 1, "{faults}");
    }
    std::fs::write(&file, configuration(folder.path())).unwrap();
    let output = run(&["check", "--show", "--config", file.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!text(&output.stdout).contains("\"wk\""), "a key is shown");
}

#[test]
fn check_tells_programs_what_it_tells_people() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keelrow.toml");
    let (name, bad) = (file.to_str().unwrap(), folder.path().join("bad.toml"));
    let check = |text: &str, variable: (&str, &str)| {
        std::fs::write(&file, text).unwrap();
        let mut command = keelrow();
        command.args(["check", "--json", "--config", name]).env(variable.0, variable.1);
        let output = command.output().unwrap();
        let told: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), told)
    };
    std::fs::write(&bad, "[[rule]]\nkeys = [\"note\"]\n\naction = \"vanish\"\n").unwrap();
    let good = configuration(folder.path());
    let wrong = good.replace("wk\"", "wk\"\ntransforms = [\"bad.toml\", \"nope\"]\nno_such = 1");
    let variable = ("KEELROW__HTTP__MAX_EVENT", "much");
    let (code, mut told) = check(&wrong, variable);
    assert_eq!(code, Some(2));
    for one in &mut told {
        assert!(!one["reason"].take().as_str().unwrap().is_empty());
    }
    let line = wrong.lines().position(|line| line == "no_such = 1").unwrap() + 1;
    let fault = |rest: Value| {
        let mut fault = json!({"severity": "fault", "reason": null});
        fault.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        fault
    };
    let transforms = "source[0].transforms";
    let expected = [
        json!({"file": name, "line": line, "key": "source[0].no_such"}),
        json!({"variable": variable.0, "key": "http.max_event", "value": "\"much\""}),
        json!({"file": name, "key": transforms, "value": "\"nope\""}),
        json!({"file": bad.to_str().unwrap(), "line": 4, "key": "rule.action"}),
    ];
    let mut expected = expected.map(fault).to_vec();
    let sorted = |list: &mut Vec<Value>| list.sort_by_key(|one| one["key"].to_string());
    sorted(&mut told);
    sorted(&mut expected);
    assert_eq!(told, expected);
    // Not even TOML; no fault but a warning; nothing.
    let none = ("KEELROW_NOTHING", "");
    let (code, told) = check("[", none);
    assert!(code == Some(2) && told.len() == 1 && told[0]["line"] == 1, "{told:?}");
    let idle = format!("{good}[[unified]]\nname = \"u\"\nsources = [\"nope\"]\n");
    let (code, told) = check(&idle, none);
    assert_eq!((code, told.len()), (Some(0), 1));
    assert_eq!(
        (&told[0]["severity"], &told[0]["key"]),
        (&json!("warning"), &json!("unified[0].sources"))
    );
    assert_eq!(check(&good, none), (Some(0), Vec::new()));
}

#[test]
fn shipped_examples_are_right() {
    for example in ["minimal.toml", "mattermost.toml"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
        let mut command = keelrow();
        let output = command
            .args(["check", "--config", file.to_str().unwrap()])
            .env("WEBAPP_WRITE_KEY", "k")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{example}: {}", text(&output.stderr));
    }
}
