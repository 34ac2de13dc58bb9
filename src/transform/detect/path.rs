//! The user's folder name in paths, and the user and password of URLs.

use super::class::{is_alnum, leading};
use super::shape;

/// Folders that systems make themselves, and users that images and builders of software come with.
const NOBODY: [&str; 18] = [
    "Shared",
    "Public",
    "Default",
    "Default User",
    "All Users",
    "Guest",
    "runner",
    "runneradmin",
    "ContainerAdministrator",
    "ubuntu",
    "ec2-user",
    "vagrant",
    "vscode",
    "node",
    "jenkins",
    "circleci",
    "gitlab-runner",
    "www-data",
];

/// Folders that a user's home usually has.
const HOME_FOLDERS: [&str; 18] = [
    "Desktop",
    "Documents",
    "Downloads",
    "Library",
    "Pictures",
    "Music",
    "Videos",
    "Public",
    "AppData",
    "snap",
    "go",
    "src",
    "projects",
    "workspace",
    "git",
    "code",
    "bin",
    "public_html",
];

/// The user's folder behind the separator at `at`, in `/Users/anna/`, `/home/anna/`,
/// `C:\Users\anna\` and `C:\Documents and Settings\anna\`: its span. Cautious where the text may be
/// the path of a page.
pub(super) fn user_folder(text: &str, at: usize, cautious: bool) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let rest = bytes.get(at + 1..)?;
    let windows = at > 1 && bytes[at - 1] == b':' && bytes[at - 2].is_ascii_alphabetic();
    let windows =
        windows || at > 2 && bytes[at] == b'\\' && bytes[at - 1] == b'\\' && bytes[at - 2] == b':';
    let folder = match rest.first()? {
        b'U' if rest.starts_with(b"Users") => 5,
        b'u' | b'U' if windows && rest.get(..5)?.eq_ignore_ascii_case(b"users") => 5,
        b'D' if rest.starts_with(b"Documents and Settings") => 22,
        b'h' if rest.starts_with(b"home") && is_root(bytes, at) => 4,
        _ => return None,
    };
    let mut start = at + 1 + folder;
    let separator = *bytes.get(start)?;
    if !matches!(separator, b'/' | b'\\') {
        return None;
    }
    // A backslash that was escaped once more, or more often.
    while bytes.get(start) == Some(&separator) {
        start += 1;
    }
    let mut end = name_end(bytes, start);
    // `/home/users/anna/...`
    if folder == 4 && bytes.get(start..end) == Some(b"users") && bytes.get(end) == Some(&b'/') {
        start = end + 1;
        end = name_end(bytes, start);
    }
    let name = text.get(start..end)?;
    // `webpack:///home/...` and the like are a user's only where something is below.
    let scheme = folder == 4 && bytes[..at].ends_with(b"/") && !bytes[..at].ends_with(b"file://");
    if scheme && bytes.get(end) != Some(&b'/') {
        return None;
    }
    let is_name =
        name.chars().any(char::is_alphanumeric) && !name.starts_with(['$', '%', '<', '{', '[']);
    let route = cautious && at == 0 && folder == 4 && !leads_to_file(text.get(end..)?);
    // `/scim/v2/Users/88cf4048-...`
    let id = name.len() == 36 && shape::is_uuid(name.as_bytes());
    (is_name && !route && !id && !NOBODY.contains(&name)).then_some((start, end))
}

/// A text that is nothing but `/home/feed/new` may be a page's path; a file name or one of
/// the folders that homes have says that it is a user's.
fn leads_to_file(rest: &str) -> bool {
    let mut parts = rest.split('/').filter(|part| !part.is_empty());
    let folder = parts.next().unwrap_or_default();
    let last = rest.rsplit('/').next().unwrap_or_default();
    folder.starts_with('.') || last.contains('.') || HOME_FOLDERS.contains(&folder)
}

/// Folders that homes lie in, `/var/home/anna`; the second ones only at the start of a path.
const ABOVE: [&[u8]; 5] = [b"/var", b"/usr", b"/export", b"/mnt", b"/rootfs"];
const ABOVE_AT_ROOT: [&[u8]; 4] = [b"/data", b"/nfs", b"/afs", b"/srv"];

/// True where a path of a file system starts: nothing, or no host and no other folder, before it.
fn is_root(bytes: &[u8], at: usize) -> bool {
    let head = bytes.get(..at).unwrap_or_default();
    if is_start(head) {
        return true;
    }
    ABOVE.iter().any(|folder| head.ends_with(folder))
        || ABOVE_AT_ROOT.iter().any(|folder| head.strip_suffix(*folder).is_some_and(is_start))
}

/// True if a path may start behind `head`.
fn is_start(head: &[u8]) -> bool {
    match head {
        [] => true,
        [.., b'/'] => head.ends_with(b"://"),
        [
            ..,
            b' ' | b'"' | b'\'' | b'`' | b'(' | b'[' | b'<' | b'>' | b'=' | b':' | b',' | b';'
            | b'|' | b'\n' | b'\t',
        ] => true,
        // `render@/home/anna/app.js` in a browser's stack; quoted it is an alias of a bundler.
        [b'@'] | [.., b'\n', b'@'] => true,
        [.., function, b'@'] => is_alnum(*function),
        _ => false,
    }
}

/// A name ends at the next separator; where none follows, at the first blank or quote, since a
/// name may hold a blank but the sentence around it does as well.
fn name_end(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    let hard = |byte: &u8| {
        matches!(
            byte,
            b'"' | b'\''
                | b'`'
                | b'<'
                | b'>'
                | b'|'
                | b':'
                | b';'
                | b','
                | b'?'
                | b'*'
                | b'&'
                | b'#'
        ) || byte.is_ascii_control()
    };
    let stop = leading(rest, |byte| !matches!(byte, b'/' | b'\\') && !hard(&byte));
    let whole = rest.get(..stop).unwrap_or_default();
    let blanks = whole.iter().filter(|&&byte| byte == b' ').count();
    let closed = matches!(rest.get(stop), Some(b'/' | b'\\')) && blanks <= 3 && stop <= 64;
    if closed || blanks == 0 {
        return start + stop.min(64);
    }
    start + whole.iter().position(|&byte| byte == b' ' || byte == b')').unwrap_or(stop)
}

/// The user and password before the `@` of the URL whose `//` is at `at`: their span. Without a
/// scheme before it, only where nothing else is and a password is given.
pub(super) fn credentials(text: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let start = at + 2;
    let before = at.checked_sub(1).map(|n| bytes[n]);
    let scheme = before == Some(b':');
    let alone =
        before.is_none_or(|byte| byte.is_ascii_whitespace() || b"\"'=`(<>,;".contains(&byte));
    if !scheme && !alone {
        return None;
    }
    let rest = bytes.get(start..)?;
    let stops = |byte: &u8| {
        byte.is_ascii_whitespace()
            || matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`')
    };
    let stop = leading(rest, |byte| !stops(&byte));
    // A password may hold an `@` that nobody encoded: the last one ends it.
    let sign = memchr::memrchr(b'@', rest.get(..stop)?)?;
    let user = rest.get(..sign)?;
    let named = !user.is_empty() && user != b"git" && !user.starts_with(b"[");
    let has_password = user.contains(&b':');
    // `https://anna@example.com/` without a password is told apart from an address in a text.
    let whole = has_password || scheme && stop > sign + 1;
    (named && whole).then_some((start, start + sign))
}

/// The longest user and password of a data source.
const SOURCE_MAX: usize = 128;

/// The user and password of a data source in MySQL's form, `user:password@tcp(host:3306)/name`, whose
/// `@` is at `at`: their span.
pub(super) fn data_source(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let host = bytes.get(at + 1..)?;
    if ![&b"tcp("[..], b"tcp6(", b"unix("].iter().any(|net| host.starts_with(net)) {
        return None;
    }
    let head = bytes.get(..at)?;
    let inner = |byte: &&u8| !byte.is_ascii_whitespace() && !b"\"'`<>()/".contains(byte);
    let length = head.iter().rev().take(SOURCE_MAX).take_while(inner).count();
    let source = head.get(at - length..)?;
    let colon = memchr::memchr(b':', source)?;
    // `DataSource=user:password@...`
    let name = memchr::memrchr(b'=', source.get(..colon)?).map_or(0, |equals| equals + 1);
    (name <= colon && colon + 1 < length).then_some((at - length + name, at))
}
