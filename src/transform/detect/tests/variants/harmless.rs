//! Makers of what only looks alike: ids, versions, times, measures, code.

use super::dice::Dice;

type Make = fn(&mut Dice) -> String;

pub(super) const KINDS: &[(&str, Make)] = &[
    ("UUIDs", uuid),
    ("sortable ids", sortable),
    ("hashes", hash),
    ("versions", version),
    ("user agents", agent),
    ("times", time),
    ("numbers in prose", numbers),
    ("order numbers", orders),
    ("addresses of no one", nobody),
    ("code", code),
    ("mentions and packages", mentions),
    ("paths of pages", pages),
    ("colours and measures", measures),
    ("coordinates", coordinates),
    ("words of secrets", words),
    ("queries", queries),
    ("prose", prose),
    ("books and parts", books),
];

fn uuid(dice: &mut Dice) -> String {
    let uuid = dice.after("ħħħħħħħħ-ħħħħ-4ħħħ-aħħħ-ħħħħħħħħħħħħ");
    match dice.range(0, 6) {
        0 => uuid.to_uppercase(),
        1 => format!("{{{uuid}}}"),
        2 => format!("id={uuid}"),
        3 => format!("/api/v1/items/{uuid}/parts"),
        4 => format!("urn:uuid:{uuid}"),
        5 => format!("{}-{uuid}", dice.range(1_500_000_000_000, 1_800_000_000_000)),
        _ => uuid,
    }
}

fn sortable(dice: &mut Dice) -> String {
    let id = match dice.range(0, 7) {
        0 => dice.repeated("1", '¤', 26),
        1 => dice.repeated("2", '¤', 26),
        2 => dice.some(b"ybndrfg8ejkmcpqxot1uwisza345h769", 26),
        3 => format!("01{}", dice.some(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24)),
        4 => dice.repeated("", 'ħ', 24),
        5 => dice.repeated("", 'ũ', 21),
        6 => dice.repeated("c", 'ł', 24),
        _ => dice.after("łłłłłłłł##łłłłłłłłłł#łłłłł"),
    };
    match dice.range(0, 4) {
        0 => format!("/api/v4/channels/{id}/posts?page={}&per_page=60", dice.range(0, 99)),
        1 => format!("post {id} was read"),
        2 => format!("id={id}"),
        _ => id,
    }
}

fn hash(dice: &mut Dice) -> String {
    let length = usize::try_from(*dice.of(&[&32_u64, &40, &64, &128])).unwrap();
    let hash = dice.repeated("", 'ħ', length);
    match dice.range(0, 7) {
        0 => format!("sha {hash} merged into release-5.31"),
        1 => format!("sha256:{hash}"),
        2 => format!("commit {}", dice.repeated("", 'ħ', 7)),
        3 => format!("main.{}.chunk.js", dice.repeated("", 'ħ', 8)),
        4 => format!("\"{hash}\""),
        5 => format!("etag W/\"{}\"", dice.repeated("", 'ħ', 16)),
        6 => hash.to_uppercase(),
        _ => hash,
    }
}

fn version(dice: &mut Dice) -> String {
    let (a, b, c, d) =
        (dice.range(0, 40), dice.range(0, 40), dice.range(0, 200), dice.range(0, 250));
    match dice.range(0, 15) {
        0 => format!("upgraded plugin playbooks from {a}.{b}.{c} to {b}.{a}.{d}-rc3"),
        1 => format!("firmware v{a}.{b}.{c} build 20210901"),
        2 => format!("version {a}.{b}.{c}.{d}"),
        3 => format!("v{a}.{b}.{c}.{d}"),
        4 => format!("{a}.{b}.{c}"),
        5 => format!("{a}.{b}.{c}-beta.{d}"),
        6 => format!("Chrome/{a}.{b}.{c}.{d}"),
        7 => format!("keelrow {a}.{b}.{c}+build.{d}"),
        8 => format!("app version: {a}.{b}.{c}.{d}"),
        9 => format!("release {a}.{b}.{c}.{d} is out"),
        10 => format!("libfoo.so.{a}.{b}.{c}"),
        11 => format!("foo-{a}.{b}.{c}.{d}.tar.gz"),
        12 => format!("{a}.{b}.{c}.{d}-SNAPSHOT"),
        13 => format!("update to {a}.{b}.{c}.{d} failed"),
        14 => format!("sdk={a}.{b}.{c}"),
        _ => format!("iOS {a}.{b}.{c}, Build/AP1A.240505.004"),
    }
}

fn agent(dice: &mut Dice) -> String {
    let (a, b, c) = (dice.range(50, 140), dice.range(1000, 7000), dice.range(0, 255));
    match dice.range(0, 7) {
        0 => format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{a}.0.{b}.{c} Safari/537.36 Edg/{a}.0.{c}.{c}"
        ),
        1 => format!(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{a}.1 Safari/605.1.15"
        ),
        2 => format!(
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:{a}.0) Gecko/20100101 Firefox/{a}.0"
        ),
        3 => format!("Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/AP1A.240505.00{})", c % 10),
        4 => format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Instagram {a}.0.0.{c}.{c} (iPhone14,5; iOS 17_5_1; en_US; scale=3.00; 1170x2532; {b}{b})"
        ),
        5 => format!("okhttp/4.{c}.0"),
        6 => format!("Rudder/0.1.10 Go-http-client/1.1 curl/7.{a}.{c}"),
        _ => format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Mattermost/5.{a}.2 Chrome/{a}.0.{b}.{c} Electron/{a}.4.4 Safari/537.36"
        ),
    }
}

fn time(dice: &mut Dice) -> String {
    let (year, month, day) = (dice.range(2000, 2029), dice.range(1, 12), dice.range(1, 28));
    let (hour, minute, second) = (dice.range(0, 23), dice.range(0, 59), dice.range(0, 59));
    let millis = dice.range(1_000_000_000_000, 1_900_000_000_000);
    match dice.range(0, 14) {
        0 => format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.122Z"),
        1 => format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"),
        2 => format!("{year}-{month:02}-{day:02}"),
        3 => format!("posts_previous_day=726008 at {millis}"),
        4 => millis.to_string(),
        5 => format!("ts={millis}&x=1"),
        6 => format!("{}", millis / 1000),
        7 => format!("t={millis}{:03}", dice.range(0, 999)),
        8 => format!("{day:02}/{month:02}/{year} {hour:02}:{minute:02}"),
        9 => format!("[{hour:02}:{minute:02}:{second:02}.{:03}] started", millis % 1000),
        10 => format!("{day} Jul {year} {hour:02}:{minute:02}:{second:02} +0200"),
        11 => format!("Mon, {day:02} Feb {year} {hour:02}:{minute:02}:{second:02} GMT"),
        12 => format!("due {year}-{month:02}-{day:02}, paid {day}.{month}.{year}"),
        13 => format!("{year}{month:02}{day:02}{hour:02}{minute:02}{second:02}"),
        _ => format!("{year}-W{month:02}-{}", day % 7 + 1),
    }
}

fn numbers(dice: &mut Dice) -> String {
    let (a, b) = (dice.range(1, 999), dice.range(1_000, 999_999));
    match dice.range(0, 13) {
        0 => format!("build {b} duration_ms={a}00 size={b}{a} bytes"),
        1 => format!("ratio {}:{}:{} score 3:1:2", a % 60, b % 60, a % 24),
        2 => format!("${a},{a:03}.{:02}", b % 100),
        3 => format!("{a} of {b} rows in {a}.{b} s"),
        4 => format!("{b} {a} {a} {b}"),
        5 => format!("{a}/{b} done, {}% left", a % 100),
        6 => format!("0.{b}{b}{a}{b}{a}"),
        7 => format!("-{b}.{b}{b}{b}"),
        8 => format!("range {a}-{b}, page {a}"),
        9 => format!("1{b:06}{a:03}{a:03} items"),
        10 => format!("{a}.{a:03}.{a:03},{:02} EUR", b % 100),
        11 => format!("{:.3e}", f64::from(u32::try_from(b).unwrap())),
        12 => format!("port {}, pid {b}", dice.range(1, 65_535)),
        _ => format!("posts {a} {b}, users +{a}, -{a}"),
    }
}

fn orders(dice: &mut Dice) -> String {
    let long = dice.after("4###############");
    match dice.range(0, 5) {
        0 => format!("order no {long} shipped"),
        1 => format!("Order number: {long}"),
        2 => format!("invoice no. {long}"),
        3 => format!("tracking number {}", dice.after("1Z999AA1##########")),
        4 => dice.after("part 9##-##-#### is obsolete"),
        _ => format!("order #{}", dice.after("###-#######-#######")),
    }
}

fn nobody(dice: &mut Dice) -> String {
    dice.of(&[
        "0.0.0.0",
        "127.0.0.1",
        "127.0.0.1:8080",
        "listening on 0.0.0.0:80",
        "::1",
        "[::1]:8080",
        "::",
        "255.255.255.255",
        "00:00:00:00:00:00",
        "ff:ff:ff:ff:ff:ff",
        "http://localhost:3000/x",
        "999.1.2.3",
        "1.2.3",
        "256.256.256.256",
    ])
    .to_owned()
}

fn code(dice: &mut Dice) -> String {
    let a = dice.range(1, 999);
    let word = dice.of(&["abc", "add", "cafe", "dead", "face", "feed", "beef", "decade"]);
    match dice.range(0, 14) {
        0 => format!("std::{word}::def"),
        1 => format!("{word}::new()"),
        2 => format!("at foo (main.js:{a}:12)"),
        3 => format!("src/app.rs:{a}:5"),
        4 => format!("TypeError: x[{a}] is undefined"),
        5 => format!("a.b.c = d.e[{a}].f"),
        6 => format!("if (a == {a} && b != c) return"),
        7 => format!("SELECT * FROM t WHERE id = {a}"),
        8 => format!("0x{:08X}", a * 7_919),
        9 => format!("E{a}: cannot borrow `{word}` as mutable"),
        10 => format!("${{{word}}}/bin:$PATH"),
        11 => format!("key: value{a}, next: {word}"),
        12 => format!("{word}:{a}"),
        13 => format!("@media (max-width: {a}px) {{ .{word} {{ color: #{word} }} }}"),
        _ => format!("fn {word}(x: u32) -> Option<u32>"),
    }
}

fn mentions(dice: &mut Dice) -> String {
    let name = dice.of(&["john", "kath", "all", "here", "channel", "anna.b", "dev-team"]);
    let (a, b) = (dice.range(0, 20), dice.range(0, 20));
    match dice.range(0, 12) {
        0 => format!("cc @{name}"),
        1 => format!("ping @{name} please"),
        2 => format!("react@{a}.{b}.1"),
        3 => format!("@types/node@{a}.{b}.3"),
        4 => format!("npm i @scope/{name}@^{a}.0.0"),
        5 => format!("logo@2x.png, logo@{a}x.png"),
        6 => format!("https://medium.com/@{name}/post-{a}"),
        7 => format!("https://cdn.jsdelivr.net/npm/vue@{a}.{b}.0/dist/vue.js"),
        8 => format!("actions/checkout@v{a}"),
        9 => format!("image@sha256:{}", dice.repeated("", 'ħ', 64)),
        10 => format!("webpack@next.js, {name}@latest"),
        11 => format!("node_modules/.pnpm/foo@{a}.{b}.2/node_modules/foo/index.js"),
        _ => format!("@{name}: see @import url('x.css')"),
    }
}

fn pages(dice: &mut Dice) -> String {
    let a = dice.range(1, 999);
    match dice.range(0, 8) {
        0 => format!("https://example.com/home/settings?tab={a}"),
        1 => format!("/users/{a}/posts"),
        2 => format!("https://example.com/users/{a}"),
        3 => "/var/log/app/current.log".to_owned(),
        4 => "C:\\Program Files\\Mattermost\\mm.exe".to_owned(),
        5 => format!("/opt/app/releases/{a}/lib"),
        6 => format!("https://shop.example.com/p/{a}?utm_source=x&utm_medium=email&utm_campaign=y"),
        7 => "/Users/Shared/app.log".to_owned(),
        _ => "C:\\Users\\Public\\Desktop".to_owned(),
    }
}

fn measures(dice: &mut Dice) -> String {
    let (a, b) = (dice.range(1, 4000), dice.range(1, 4000));
    match dice.range(0, 6) {
        0 => dice.after("#ħħħħħħ"),
        1 => dice.after("rgba(2##, 1##, ##, 0.5)"),
        2 => format!("{a}x{b}@2x"),
        3 => format!("{a} KB of {b} MB"),
        4 => format!("{a}px {b}em 0.{a}s"),
        5 => format!("10:00-18:{:02}", a % 60),
        _ => format!("{a}.{:02} ms / {b} ops", b % 100),
    }
}

fn coordinates(dice: &mut Dice) -> String {
    let (a, b) = (dice.after("5#.######"), dice.after("1#.###############"));
    match dice.range(0, 3) {
        0 => format!("{a},{b}"),
        1 => format!("geo:{a},-{b}"),
        2 => format!("@{a},{b},15z"),
        _ => format!("POINT(-{b} {a})"),
    }
}

fn words(dice: &mut Dice) -> String {
    dice.of(&[
        "token: expired yesterday",
        "password: required",
        "invalid password",
        "password must have 8 characters",
        "reset your password here",
        "secret: null",
        "password=",
        "token=null&x=1",
        "passwordChanged=true",
        "max_tokens=512 token_count=7",
        "author=somebody",
        "the secret of success: work",
        "compass=north bypass=yes",
        "keyboard: us",
        "sessionTimeout=3600",
        "Authorization header missing",
        "password=[secret]",
        "api_key=<your key>",
        "password=****",
        "pin: map",
        "token type: bearer",
    ])
    .to_owned()
}

fn queries(dice: &mut Dice) -> String {
    let a = dice.range(1, 99_999);
    match dice.range(0, 5) {
        0 => format!("https://example.com/search?q=red%20shoes&page={a}"),
        1 => format!("/a?utm_source=news&utm_id={a}&gclid={}", dice.repeated("Cj0KCQjw", 'ũ', 60)),
        2 => format!("?sort=price%3Aasc&from={a}&to=99"),
        3 => format!("?b=100%25&c={a}%"),
        4 => format!("https://example.com/%E4%BD%A0%E5%A5%BD/{a}"),
        _ => format!("/v1/items?fields=a,b,c&limit={a}"),
    }
}

fn prose(dice: &mut Dice) -> String {
    dice.of(&[
        "The meeting moved to Tuesday.",
        "Playbook run finished in 3 h",
        "How do I change my plan?",
        "I am Irish",
        "call 911 now",
        "call me in 20 minutes",
        "text me at 5",
        "He was born in 1980 in Rome",
        "a new idea was born 3 days ago",
        "born to run",
        "3... 2... 1... liftoff!",
        "C++ 11 +12",
        "100% sure, 50%off",
        "room 212, floor 3, building 45-46",
        "it's 5:30 / 17:30",
        "score: 21-15, 15-21, 21-19",
        "size 10-12, 14-16",
        "see section 4.1.2.3 of the manual",
        "chapter 12.3.4.5",
        "the MAC of the message",
        "phone calls took 20 minutes 300 times",
        "User guide (PDF)",
        "From 2019-2021",
        "Call of Duty 4: Modern Warfare",
    ])
    .to_owned()
}

fn books(dice: &mut Dice) -> String {
    match dice.range(0, 5) {
        0 => dice.after("ISBN 978-3-##-######-#"),
        1 => dice.after("978##########"),
        2 => dice.after("S/N C02ŁŁ###ŁŁ"),
        3 => dice.after("SKU ##-####-###"),
        4 => dice.after("EAN 40########## 1"),
        _ => dice.after("RFC 5###, ISO 27001:2022"),
    }
}
