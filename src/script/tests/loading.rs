//! What is found when a script is read.

use super::*;

fn fault(source: &str) -> (Option<u32>, String) {
    let fault = Script::load("sample.js", source, &|_| None).unwrap_err();
    assert_eq!(fault.file, "sample.js");
    (fault.line, fault.reason)
}

#[test]
fn libraries_are_imported_also_by_libraries() {
    let source = "import { twice } from 'math';\nimport * as text from './text.js';\n
        export function transformEvent(event) { event.n = twice(4) + text.end; return event }";
    let libraries = |name: &str| match name {
        "math" => Some("export const twice = (n) => n * 2".to_owned()),
        "text" => {
            Some("import { twice } from \"math\"; export const end = '!' + twice(1)".to_owned())
        }
        _ => None,
    };
    let script = Script::load("sample.js", source, &libraries).unwrap();
    assert_eq!(script.libraries().map(|(name, _)| name).collect::<Vec<_>>(), ["math", "text"]);
    assert_eq!(run_one(&mut Runtime::default(), &script, "{}"), keep(r#"{"n":"8!2"}"#));
}

#[test]
fn a_missing_library_is_named_with_its_line() {
    let (line, reason) =
        fault("// one\n\nimport { x } from 'nowhere';\nexport const transformEvent = x;");
    assert_eq!((line, reason.contains("\"nowhere\"")), (Some(3), true), "{reason}");
    let libraries = |name: &str| (name == "a").then(|| "\nimport 'b'".to_owned());
    let source = "import 'a'; export const transformEvent = 1";
    let fault = Script::load("sample.js", source, &libraries).unwrap_err();
    assert_eq!((fault.file.as_str(), fault.line), ("a.js", Some(2)));
}

#[test]
fn an_import_cannot_leave_the_folder() {
    for name in ["../secret", "/etc/passwd", "a/../../b", "https://example.com/x.js", ""] {
        let asked = std::cell::Cell::new(false);
        let source = format!("import x from '{name}'; export const transformEvent = x");
        let libraries = |_: &str| {
            asked.set(true);
            None
        };
        let fault = Script::load("sample.js", &source, &libraries).unwrap_err();
        assert!(fault.reason.contains("beside the script"), "{name}: {fault}");
        assert!(!asked.get());
    }
}

#[test]
fn faults_name_their_line() {
    let (line, reason) = fault("export function transformEvent(event) {\n  return event\n");
    assert_eq!(line, Some(3), "{reason}");
    let (line, _) = fault("const a = 1;\nconst b = ;\nexport const transformEvent = 1");
    assert_eq!(line, Some(2));
    let (line, reason) =
        fault("export const transformEvent = () => 1;\n\nthrow new Error('no table');");
    assert_eq!((line, reason.as_str()), (Some(3), "no table"));
    let (_, reason) = fault("export function transform(event) { return event }");
    assert!(reason.contains("transformEvent or transformBatch"));
    let (_, reason) = fault("export const transformEvent = () => 1, transformBatch = () => 1");
    assert!(reason.contains("both"));
    let (_, reason) = fault("export const transformEvent = 5");
    assert!(reason.contains("no function"));
    let (_, reason) = fault("await new Promise(() => {}); export const transformEvent = () => 1");
    assert!(reason.contains("never ends"));
    let (_, reason) = fault("export const transformEvent = () => 1; while (true) {}");
    assert!(reason.contains("CPU time"));
    let (_, reason) = fault(
        "export const transformEvent = () => 1; const a = []; while (true) a.push(new Array(100000).fill(0))",
    );
    assert_eq!(reason, "out of memory");
    assert!(fault("\0").1.contains("NUL"));
}
