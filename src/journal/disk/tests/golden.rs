//! Journals written by each format are opened for ever.
//!
//! The files under tests/golden/journal were written once, by the first program of their format;
//! `KEELROW_GOLDEN_JOURNAL=write` makes those of today's format while it is not released yet.

use std::fs;

use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal/v1")
}

/// Records of several kinds in two segments, one of them damaged, and a torn tail.
fn write() -> Disk {
    let mut bed = Bed::new();
    let mut first = Group::default();
    first.push(1, "web", 1, br#"{"event":"Opened","n":1.10}"#).unwrap();
    first.push(2, "mobile", 40, b"tally").unwrap();
    first.push(1, "", 1, "Zürich \u{1f600}".as_bytes()).unwrap();
    bed.append(first).unwrap();
    bed.append_texts(&["damaged below"]).unwrap();
    bed.append_texts(&["before the next segment"]).unwrap();
    bed.append_texts(&["x".repeat(5000).as_str(), ""]).unwrap();
    bed.close();
    bed.open().unwrap();
    bed.append_texts(&["after a restart"]).unwrap();
    bed.append_texts(&["torn below"]).unwrap();
    bed.kill();
    for (path, text) in [(0, b"damaged below".as_slice()), (2, b"torn below")] {
        let path = &bed.segments()[path];
        let mut bytes = bed.disk.bytes(path).unwrap();
        let at = bytes.windows(text.len()).position(|window| window == text).unwrap();
        bytes[at] = b'#';
        bed.disk.put(path, &bytes);
    }
    bed.disk
}

#[test]
fn old_formats_open() {
    if std::env::var_os("KEELROW_GOLDEN_JOURNAL").is_some_and(|value| value == "write") {
        let disk = write();
        fs::create_dir_all(folder()).unwrap();
        for path in disk.paths().iter().filter(|path| in_root(path)) {
            let to = folder().join(path.file_name().unwrap());
            fs::write(to, disk.bytes(path).unwrap()).unwrap();
        }
    }
    let mut bed = Bed::new();
    bed.kill();
    bed.disk = Disk::new();
    let mut files = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let entry = entry.unwrap();
        let to = Path::new("/journal").join(entry.file_name());
        bed.disk.put(&to, &fs::read(entry.path()).unwrap());
        files += 1;
    }
    assert_eq!(files, 5, "writer, mark and three segments");
    bed.open().unwrap();
    assert_eq!(bed.log().writer_id(), "node-00000001");
    let frame = |position, kind, count, source: &str, payload: &[u8]| Got::Frame {
        position,
        kind,
        count,
        source: source.to_owned(),
        payload: payload.to_vec(),
    };
    let wanted = [
        frame(0, 1, 1, "web", br#"{"event":"Opened","n":1.10}"#),
        frame(1, 2, 40, "mobile", b"tally"),
        frame(2, 1, 1, "", "Zürich \u{1f600}".as_bytes()),
        lost(3..4, Some("web"), 2),
        text(4, "before the next segment"),
        text(5, &"x".repeat(5000)),
        text(6, ""),
        text(7, "after a restart"),
    ];
    assert_eq!(bed.read(0), wanted);
    assert_eq!(bed.append_texts(&["today"]).unwrap(), 8..9);
    bed.reopen();
    assert_eq!(bed.read(8), [text(8, "today")]);
}
