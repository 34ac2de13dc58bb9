//! Texts and what is found in them, by the whole finder.

mod people;
mod secrets;
pub(in crate::transform) mod variants;

use super::*;

/// What the detectors find in `text`, as the text with placeholders.
fn cleaned(text: &str) -> String {
    let all = Set::of(&Detector::ALL).without(Set::of(&[Detector::DeviceOwner, Detector::Opaque]));
    cleaned_of(all, &mut Finder::default(), text)
}

/// The same for some detectors.
fn cleaned_of(detectors: Set, finder: &mut Finder, text: &str) -> String {
    let found = finder.find(text, detectors);
    let (mut out, mut from) = (String::new(), 0);
    for one in found {
        out.push_str(text.get(from..one.start).unwrap());
        out.push_str(one.what.placeholder());
        from = one.end;
    }
    out.push_str(text.get(from..).unwrap());
    out
}

#[test]
fn finds_each_type() {
    let cases = [
        ("mail anna.b+x@mail.example.co.uk now", "mail [email] now"),
        ("O'Brien: o'brien@example.com", "O'Brien: [email]"),
        ("josé@exämple.de", "[email]"),
        ("\"john doe\"@example.com", "[email]"),
        ("mailto:A@EXAMPLE.NET?subject=hi", "mailto:[email]?subject=hi"),
        ("?email=a%40example.org&code=1", "?email=[email]&code=1"),
        ("?next=%2Fx%3Fe%3Da%2540example.org", "?next=%2Fx%3Fe%3D[email]"),
        ("call +33 1 42 46 89 60 now", "call [phone] now"),
        ("+1(312) 758-2814", "[phone]"),
        ("from (206) 981-3845 about invoice 4411", "from [phone] about invoice 4411"),
        ("1-650-877-0958", "[phone]"),
        ("my mobile is 0171 2345678", "my mobile is [phone]"),
        ("?tel=%2B1+206+915+1309&x=1", "?tel=[phone]&x=1"),
        ("card 4111 1111 1111 1111 please", "card [card] please"),
        ("2221 8669 7908 0226", "[card]"),
        ("377261749874296", "[card]"),
        ("3782-822463-10005", "[card]"),
        ("payout to DE50 5099 7882 7917 1812 95 queued", "payout to [iban] queued"),
        ("GB96NWKN29181572957089", "[iban]"),
        ("ssn 334-53-8054 on file", "ssn [ssn] on file"),
        ("social security number: 334538054", "social security number: [ssn]"),
        ("dial tcp 42.51.96.207:5432: refused", "dial tcp [ip]:5432: refused"),
        ("https://42.51.96.207/x", "https://[ip]/x"),
        ("ip=fe80::b85:978c", "ip=[ip]"),
        ("[2001:db8::8a2e:370:7334]:443", "[[ip]]:443"),
        ("::ffff:42.51.96.207", "[ip]"),
        ("a6c4:7046:a6a7:d614:d414:42c9:78a8:bbfc", "[ip]"),
        ("mac=AC-BE-47-F9-C0-78 ok", "mac=[mac] ok"),
        ("001b.44c1.3ab7", "[mac]"),
        ("MAC: 001a2b3c4d5e", "MAC: [mac]"),
        ("update request from 203.0.113.150 failed", "update request from [ip] failed"),
        ("Hello, I am Jean-Luc d'Arc (n@b.de)", "Hello, I am [name] ([email])"),
        ("imei:35-174039-723711-2", "imei:[imei]"),
        ("356332260541500", "[imei]"),
        ("at eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln end", "at [token] end"),
        (
            "webhook token ghp_AICdteTFYTTYBDlbtHWvYOwJeJUMw95t6E8W rejected",
            "webhook token [token] rejected",
        ),
        ("AKIAZL7F4GZPWTEMZLSS", "[token]"),
        ("Authorization: Bearer abc123def456", "Authorization: Bearer [token]"),
        ("key: -----BEGIN EC PRIVATE KEY-----\nab\n-----END EC PRIVATE KEY-----.", "key: [key]."),
        ("-----BEGIN PRIVATE KEY-----\nabc", "[key]"),
        (
            "https://anna:S3cret@git.example.com/r.git",
            "https://[credentials]@git.example.com/r.git",
        ),
        ("open '/Users/anna/Library/x'", "open '/Users/[user]/Library/x'"),
        ("at C:\\Users\\Anna B\\AppData\\mm.exe", "at C:\\Users\\[user]\\AppData\\mm.exe"),
        ("{\"p\":\"C:\\\\Users\\\\anna\\\\x\"", "{\"p\":\"C:\\\\Users\\\\[user]\\\\x\""),
        ("file:///home/anna/.config", "file:///home/[user]/.config"),
        ("/home/anna", "/home/[user]"),
        ("/home/anna/app.log", "/home/[user]/app.log"),
        ("login password=hunter2 failed", "login password=[secret] failed"),
        ("{'api_key': 'x y'", "{'api_key': '[secret]'"),
        ("client_secret: 8f%k2", "client_secret: [secret]"),
        ("GET /x?access_token=abcdef&y=1", "GET /x?access_token=[secret]&y=1"),
        ("wallet 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa linked", "wallet [wallet] linked"),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "[wallet]"),
        ("0xde0B295669a9FD93d5F28D9Ec85E40f4cb697BAe", "[wallet]"),
        ("born 1982-08-23, lives", "born [birth_date], lives"),
        ("Date of birth: March 3rd, 1980", "Date of birth: [birth_date]"),
        ("User Ana de la Cruz <a@b.de> invited", "User [name] <[email]> invited"),
        ("Hello, I am Irena Keudel B.A. (n@b.de). Hi", "Hello, I am [name] ([email]). Hi"),
        ("My name is Jasmine Murray.", "My name is [name]."),
    ];
    for (text, expected) in cases {
        assert_eq!(cleaned(text), expected, "{text}");
    }
}

#[test]
fn an_address_ends_where_its_domain_does() {
    for (text, wanted) in [
        ("anna@example.com-1", "[email]-1"),
        ("session-anna@example.com-abc", "[email]-abc"),
        ("anna@example.com2024", "[email]2024"),
        ("anna@example.com.1", "[email].1"),
        ("anna@example.com.1.2", "[email].1.2"),
        ("anna@example.com.pdf", "[email].pdf"),
        ("anna@example.com-1.pdf and anna@firma.de-1.pdf", "[email]-1.pdf and [email]-1.pdf"),
        ("anna@example.com.min.js", "[email].min.js"),
        ("/exports/anna@example.com.json", "/exports/[email].json"),
        ("anna@example.com.txt (11 bytes)", "[email].txt (11 bytes)"),
        ("anna%40example.com-1", "[email]-1"),
        ("anna@example.com-1716892345.123", "[email]-1716892345.123"),
        ("anna@example.com-2024-05-01T10:00:00Z", "[email]-2024-05-01T10:00:00Z"),
        (
            "anna@mail.example.co.uk.88cf4048-a2b1-44f9-ac38-aa3e4cf92f37",
            "[email].88cf4048-a2b1-44f9-ac38-aa3e4cf92f37",
        ),
        ("anna@163.com-1, anna@4u.example.org.txt", "[email]-1, [email].txt"),
        ("anna@example.xn--p1ai.1", "[email].1"),
        ("anna@firma.berlin-2", "[email]-2"),
        ("メールはanna@example.comまで", "[email]まで"),
        ("anna@example.vermögensberatung, иван@почта.рф", "[email], [email]"),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
        assert_eq!(cleaned(wanted), wanted);
    }
    for harmless in [
        "logo@2x.png",
        "icon@2x.min.png and icon@1.5x.de.png",
        "pkg@1.2.js",
        "pkg@1.0.min.js",
        "pkg@1.2.3-beta.rc1",
        "pkg@v2.beta.rc1 of pkg@3.rc-1",
        "@angular/core@17.0.0-next.7",
        "render@main.4f5abc12.js:1:234",
        "render@main.abc123.js:1:234",
        "jquery@next.min.js",
        "song@live.mp3, file@x.md5",
        "user@10.0.0.1-abc",
        "image@sha256:abc.def1",
        "com.example.Thing@7f31245a.",
        "https://cdn.jsdelivr.net/npm/vue@3.4.21/dist/vue.global.js",
    ] {
        assert_eq!(cleaned(harmless), harmless);
    }
}

#[test]
fn escapes_beside_an_address_stay_whole() {
    for (text, wanted) in [
        ("?q=%22anna@example.com%22", "?q=%22[email]%22"),
        ("?q=%2522anna@example.com%2522", "?q=%2522[email]%2522"),
        ("?q=%252522anna@example.com", "?q=%252522[email]"),
        ("hello%20anna@example.com", "hello%20[email]"),
        ("?q=%3Canna%40example.com%3E", "?q=%3C[email]%3E"),
        ("?q=%61nna@example.com", "?q=[email]"),
        ("?q=%C3%A9anna@example.com", "?q=[email]"),
        ("?q=%E9anna@example.com", "?q=%E9[email]"),
        ("100%anna@example.com", "100%[email]"),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
    }
}

#[test]
fn accounts_and_signs_in_disguise() {
    for (text, wanted) in [
        ("IBANDE89370400440532013000", "IBAN[iban]"),
        ("ibanDE89 3704 0044 0532 0130 00!", "iban[iban]!"),
        ("4111  1111  1111  1111", "[card]"),
        ("anna%EF%BC%A0example.com", "[email]"),
        ("?q=%C3%A9+anna%EF%BC%A0example.com&x=1", "?q=[email]&x=1"),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
    }
    for harmless in
        ["IBANDE89370400440532013001", "4111  1111  1111  1112", "%E3%83%9B%E3%83%BC%E3%83%A0"]
    {
        assert_eq!(cleaned(harmless), harmless);
    }
}

#[test]
fn escapes_that_nobody_undid_are_seen_through() {
    for (text, wanted) in [
        (r"refused\n186.191.222.222\nretry", r"refused\n[ip]\nretry"),
        (r"to\tDE89370400440532013000", r"to\t[iban]"),
        (r"at\\nghp_AICdteTFYTTYBDlbtHWvYOwJeJUMw95t6E8W\\n", r"at\\n[token]\\n"),
        (r"call\r\n+49 171 2345678\f", r"call\r\n[phone]\f"),
        (r"x\nborn 1980-05-17\ty", r"x\nborn [birth_date]\ty"),
        (
            r"https:\/\/anna:S3cret@git.example.com\/r",
            r"https:\/\/[credentials]@git.example.com\/r",
        ),
        (r"open \/home\/anna\/.config", r"open \/home\/[user]\/.config"),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
        assert_eq!(cleaned(wanted), wanted);
    }
    for harmless in
        [r"C:\new\table\report.txt", r"\d+\.\d+\n\t", r"I am\nGroot Rocket", r"D:\tools\1.2"]
    {
        assert_eq!(cleaned(harmless), harmless);
    }
}

#[test]
fn fingerprints_and_versions_are_no_addresses() {
    for harmless in ["fe:bb:cc:dd:ee:ff:00:11", "tomcat 9.0.54.1", "/app.js?v=1.2.3.4"] {
        assert_eq!(cleaned(harmless), harmless);
    }
    for (text, wanted) in [
        ("client 203.0.113.7, root@203.0.113.7", "client [ip], root@[ip]"),
        ("aa:bb:cc:ff:fe:dd:00:11", "[ip]"),
        ("fe80:bb:cc:dd:ee:ff:00:11", "[ip]"),
    ] {
        assert_eq!(cleaned(text), wanted);
    }
}

#[test]
fn addresses_stand_directly_behind_their_name() {
    for (text, wanted) in [
        ("mac:c0:61:a7:87:bc:99", "mac:[mac]"),
        ("BSSID:3A:61:A7:87:BC:99", "BSSID:[mac]"),
        ("device:82:e7:5e:7c:5f:74, node:82:e7:5e:7c:5f:75", "device:[mac], node:[mac]"),
        ("wlan0:2b:1f:e2:b9:e8:47", "wlan0:[mac]"),
        ("dev-82-e7-5e-7c-5f-74", "dev-[mac]"),
        ("c0:61:a7:87:bc:99:443", "[mac]:443"),
        ("ipv6:9e42:66e9:d073:a3f2:c8b6:f41b:a78e:9b8b", "ipv6:[ip]"),
        ("remote:2a02:26f0:ab:12:1:2:3:4", "remote:[ip]"),
        ("code:c66a:530:d2b1:8bce:d7e0:db7c:4257:fffc", "code:[ip]"),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
        assert_eq!(cleaned(wanted), wanted);
    }
    for harmless in [
        "MD5:ac:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99",
        "ac:bb:cc:dd:ee:ff:00:11:22",
        "ratio 12:34:56:78",
    ] {
        assert_eq!(cleaned(harmless), harmless);
    }
}

#[test]
fn four_parts_are_an_address_where_they_are_no_version() {
    for (text, wanted) in [
        ("https://lookup.example.com/219.121.31.119/json", "https://lookup.example.com/[ip]/json"),
        ("/api/v4/ips/181.233.169.144/logs", "/api/v4/ips/[ip]/logs"),
        ("GET /whois/66.24.126.190?x=1", "GET /whois/[ip]?x=1"),
        ("tcp/223.30.78.197", "tcp/[ip]"),
        ("node 201.253.253.165 down", "node [ip] down"),
        ("edge=163.32.112.110, nginx: 219.44.109.231", "edge=[ip], nginx: [ip]"),
        ("v=150.69.17.128", "v=[ip]"),
        ("table 199.153.231.47", "table [ip]"),
        ("client-204.227.97.12", "client-[ip]"),
        ("ip_135.230.32.252", "ip_[ip]"),
        ("223.185.189.166_x", "[ip]_x"),
        ("http://x.213.30.206.21.nip.io/", "http://x.[ip].nip.io/"),
        ("версия 1, хост 42.51.96.207", "версия 1, хост [ip]"),
        ("conversión 10.20.30.40", "conversión [ip]"),
        ("инверсии 42.51.96.207", "инверсии [ip]"),
        ("127.5.16.3, 254.0.0.7", "[ip], [ip]"),
        (
            "release host 56.91.102.93, plugin connected to 61.65.229.37",
            "release host [ip], plugin connected to [ip]",
        ),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
        assert_eq!(cleaned(wanted), wanted);
    }
    for harmless in [
        "tag=10.14.21.57",
        "image tag 23.30.16.35, semver 4.6.85.5",
        "BIOS 28.18.96.28 on os=11.29.87.46",
        "Office 6.35.99.31 needs .NET 27.6.84.45",
        "RFC 2822 4.1.2.3",
        "okhttp/4.9.3.112",
        "/releases/9.0.54.1/notes",
        "/download/Mattermost/5.3.112.4",
        "GET /chrome/91.0.120.114",
        "Edge 120.0.210.191",
        "mattermost-5.37.0.1-linux.tar.gz",
        "foo_1.2.3.4_amd64.deb",
        "1.102.103.104.105",
        "Mozilla/5.0 (X11; U; Linux i686; en-US; rv:1.9.2.20) Gecko/20110803 Firefox/3.6.20",
        "versión 10.2.3.4, versione 1.2.3.4",
        "Версия: 10.2.3.4",
        "版本：10.2.3.4",
        "最新版本 10.2.3.4",
        "lookup db on 127.0.0.11:53: no such host",
        "netmask 255.255.240.0",
    ] {
        assert_eq!(cleaned(harmless), harmless);
    }
}

#[test]
fn leaves_what_only_looks_alike() {
    let harmless = [
        "0.0.0.0",
        "1.2.3.4-beta",
        "?gclid=Dk8GcQbFmaentCH6VZ_1XnVzXoVDK0",
        "version 1.2.3.4",
        "Chrome 91.0.44.114 on Windows 10.0.19.1",
        "update to 12.0.150.201 failed",
        "upgraded plugin from 1.2.3.4 to 2.0.0.1",
        "Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/91.0.4.114 Safari/537.36",
        "127.0.0.1:8080",
        "300.1.2.3",
        "std::vec abc::def",
        "ratio 12:34:56 score 3:1:2",
        "order no 4472567563193739 shipped",
        "part 992-78-1211 is obsolete",
        "000-12-3456",
        "build 699680 duration_ms=92459 size=267021024 bytes",
        "posts_previous_day=855527 at 1637831336423",
        "88cf4048-a2b1-44f9-ac38-aa3e4cf92f37",
        "41111111-1111-1111-1111-111111111111",
        "1mngI7xO8FAQMfnb4B0wn60elYA",
        "wme6c7njeqx6jykgr6qwbjtitn",
        "d790195aab24d37c5f9ba8035da91aed458c8ae923a355f82f94dc56d7fcb0ef",
        "2027-06-11T18:20:09.931Z",
        "2026-06-15T10:00:00+02:00",
        "logo@2x.png",
        "@channel deploy is done",
        "https://medium.com/@user/post",
        "pkg@1.2.3",
        "git@github.com:org/repo.git",
        "text is 255.255.255.255, never 201/202/204",
        "+2024-01-01",
        "auth::basic(head) Pin::into_inner",
        "\"sessionId\":1780331058149,\"x\":1",
        "deploy 001a2b3c4d5e done",
        "token: expired yesterday",
        "password: required",
        "https://example.com/home/settings",
        "/users/123",
        "00:00:00:00:00:00",
        "aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99",
        "GB97NWKN29181572957089",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
        "0.4111111111111111",
        "I am Irish",
        "max_tokens=512 token_count=7",
        "author=somebody",
        "h1_0123456789abcdef0123456789abcdef",
        "100% sure, 50%off",
        "C++ 11 +12",
    ];
    for text in harmless {
        assert_eq!(cleaned(text), text);
    }
}

#[test]
fn digits_alone_are_searched_where_they_may_be_a_number_of_a_type() {
    let every =
        Set::of(&Detector::ALL).without(Set::of(&[Detector::DeviceOwner, Detector::Opaque]));
    let mut finder = Finder::default();
    for length in 5..64 {
        for first in 0..10 {
            let digits: String =
                (0..length).map(|n| char::from(b"0123456789"[(first + n * 7) % 10])).collect();
            for text in [digits.clone(), "4".repeat(length), format!("00{digits}")] {
                let searched = finder.find_all(&text, every).to_vec();
                assert_eq!(finder.find(&text, every), searched, "{text}");
            }
        }
    }
    assert_eq!(finder.find("4111111111111111", every).len(), 1);
    assert_eq!(finder.find("4222222222222", every).len(), 1, "the shortest card");
}

/// What detectors may look at for each byte of a text, however often it repeats what makes them
/// look: groups of numbers are read up to eight times, all else a few.
const LOOKS_MAX: usize = 64;

/// What makes one detector or another look.
const ATOMS: &str = "1|a|A|f|@|:|=|.|-|_|/|\\|+|%| |\"|'|(|)|[|é|’|I|m|\n|,|#|0|x|&|~|%25|%40|\
    my name is |name: |born |né le |://|/Users/|/home/|eyJ|eyJhbGci.|-----BEGIN |\
    PRIVATE KEY-----|-----END |password|token:|secret=|cookie:|bearer |::|1.2.3.4|\
    +49|call |'s |iphone|DE12|ssn |4111 |12/|A. |Ana |\\u00|\u{a0}|０|sk-|ghp_|AC|0x";

#[test]
fn no_repeated_text_is_looked_at_over_and_over() {
    let every = Set::of(&Detector::ALL);
    let mut finder = Finder::default();
    let mut look = |text: &str| {
        class::work::take();
        finder.find(text, every);
        let looked_at = class::work::take();
        let start: String = text.chars().take(40).collect();
        assert!(
            looked_at <= LOOKS_MAX * text.len(),
            "{looked_at} bytes of {}: {start}",
            text.len()
        );
    };
    for first in ATOMS.split('|') {
        for second in ATOMS.split('|') {
            let pair = format!("{first}{second}");
            look(&pair.repeat(3_000 / pair.len()));
        }
    }
    let keys = "-----BEGIN PRIVATE KEY-----".repeat(400);
    let lines = ["token:", "cookie:", "token=\"", "token='", "eyJ-", "eyJabcdef-"]
        .map(|one| one.repeat(4_000));
    let tails = ["-----END ", "\"", "a", "...", "\\"].map(|one| one.repeat(4_000));
    for head in lines.iter().chain([&keys]) {
        for tail in &tails {
            look(&format!("{head}{tail}"));
        }
    }
}
