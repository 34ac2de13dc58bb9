//! Makers of what tells of a person: addresses, telephone numbers, dates of birth, names of users.

use super::dice::Dice;

pub(super) const WORDS: &[&str] = &[
    "anna", "bob", "carlos", "dmitri", "erika", "fatima", "george", "hiro", "ines", "jun", "kofi",
    "li", "maria", "ngozi", "omar", "priya", "quentin", "rosa", "sven", "tariq", "ulla", "vera",
    "wei", "xavier", "yuki", "zoe", "smith", "mueller", "garcia", "tanaka", "okafor", "nguyen",
];
const TOPS: &[&str] = &[
    "com",
    "org",
    "net",
    "de",
    "fr",
    "co.uk",
    "com.br",
    "io",
    "dev",
    "museum",
    "photography",
    "info",
    "ai",
    "app",
    "xn--p1ai",
    "email",
    "gov.au",
    "рф",
    "中国",
    "me",
    "py",
    "sh",
    "rs",
    "md",
    "zip",
    "mov",
    "pl",
    "cc",
    "so",
];

pub(super) fn email(dice: &mut Dice) -> String {
    let (a, b) = (dice.of(WORDS), dice.of(WORDS));
    let number = dice.range(1, 9999);
    let local = match dice.range(0, 15) {
        0 => format!("{a}.{b}"),
        1 => format!("{a}+{b}"),
        2 => format!("{a}_{b}{number}"),
        3 => format!("{a}-{b}"),
        4 => format!("o'{b}"),
        5 => dice.after("ł"),
        6 => a.to_uppercase(),
        7 => format!("{number}"),
        8 => format!("{a}.{b}+tag.{number}"),
        9 => format!("_{a}_"),
        10 => format!("\"{a} {b}\""),
        11 => format!("josé.{b}"),
        12 => format!("{a}{number}"),
        13 => format!("{a}!{b}"),
        14 => format!("SRS0=ab={b}"),
        _ => format!("{a}{b}"),
    };
    let domain = match dice.range(0, 7) {
        0 => format!("mail.{b}.{}", dice.of(TOPS)),
        1 => format!("{a}-{b}.{}", dice.of(TOPS)),
        2 => format!("münchen-{b}.de"),
        3 => format!("xn--mnchen-3ya.{}", dice.of(TOPS)),
        4 => format!("{}.example.{}", b.to_uppercase(), dice.of(&["com", "ORG"])),
        5 => format!("{number}.com"),
        _ => format!("{b}.{}", dice.of(TOPS)),
    };
    format!("{local}@{domain}")
}

/// E.164's international form, with the blanks of each country's habit.
const INTERNATIONAL: &[&str] = &[
    "+1 §##-§##-####",
    "+1-§##-§##-####",
    "+1 (§##) §##-####",
    "+1§##§##§###",
    "+1.§##.§##.####",
    "+44 20 7### ####",
    "+44 7### ######",
    "+44 (0)20 7### ####",
    "+44(0)7### ######",
    "+447#########",
    "+49 30 #######",
    "+49 (0)171 #######",
    "+49-171-#######",
    "+49 171/#######",
    "+33 1 ## ## ## ##",
    "+33 6 ## ## ## ##",
    "+33.6.##.##.##.##",
    "+39 06 ########",
    "+39 3## #######",
    "+34 6## ### ###",
    "+31 6 ########",
    "+32 4## ## ## ##",
    "+41 7# ### ## ##",
    "+43 664 #######",
    "+45 ## ## ## ##",
    "+46 70 ### ## ##",
    "+47 4## ## ###",
    "+48 6## ### ###",
    "+351 9## ### ###",
    "+353 8# ### ####",
    "+358 40 #######",
    "+420 6## ### ###",
    "+380 67 ### ## ##",
    "+7 9## ###-##-##",
    "+7 (9##) ###-##-##",
    "+90 5## ### ## ##",
    "+91 98### #####",
    "+91-98########",
    "+86 138 #### ####",
    "+81 90-####-####",
    "+81-3-####-####",
    "+82 10-####-####",
    "+852 9### ####",
    "+65 8### ####",
    "+61 4## ### ###",
    "+61 (0)4## ### ###",
    "+64 21 ### ####",
    "+55 11 9####-####",
    "+55 (11) 9####-####",
    "+52 1 55 #### ####",
    "+54 9 11 ####-####",
    "+56 9 #### ####",
    "+57 3## #######",
    "+27 82 ### ####",
    "+234 80# ### ####",
    "+254 7## ######",
    "+20 10 #### ####",
    "+971 50 ### ####",
    "+972 50-###-####",
    "+966 5# ### ####",
    "+62 812-####-####",
    "+63 917 ### ####",
    "+66 8# ### ####",
    "+84 9# ### ## ##",
    "+880 17##-######",
    "+92 3## #######",
    "0044 20 7### ####",
    "0049 171 #######",
    "0033 6 ## ## ## ##",
    "011 44 20 7### ####",
    "+1 §##-§##-#### x###",
    "+1-§##-§##-#### ext. ###",
];

/// A number in international form.
pub(super) fn international(dice: &mut Dice) -> String {
    let form = dice.of(INTERNATIONAL);
    dice.after(form)
}

/// Area codes and exchanges that are not N11.
fn nanp(dice: &mut Dice) -> [String; 3] {
    let mut three = || loop {
        let code = dice.after("§##");
        if !code.ends_with("11") {
            return code;
        }
    };
    let (area, exchange) = (three(), three());
    [area, exchange, dice.after("####")]
}

pub(super) fn north_american(dice: &mut Dice) -> String {
    let [area, exchange, line] = nanp(dice);
    match dice.range(0, 7) {
        0 => format!("({area}) {exchange}-{line}"),
        1 => format!("({area}){exchange}-{line}"),
        2 => format!("{area}-{exchange}-{line}"),
        3 => format!("{area}.{exchange}.{line}"),
        4 => format!("1-{area}-{exchange}-{line}"),
        5 => format!("1.{area}.{exchange}.{line}"),
        6 => format!("({area}) {exchange} {line}"),
        _ => format!("1 ({area}) {exchange}-{line}"),
    }
}

pub(super) fn national(dice: &mut Dice) -> String {
    const FORMS: &[&str] = &[
        "0171 #######",
        "0171/#######",
        "030 ########",
        "(030) #######",
        "01 ## ## ## ##",
        "06.##.##.##.##",
        "020 7### ####",
        "07### ######",
        "(020) 7### ####",
        "555-####",
        "§## §## ####",
        "§##§##§###",
        "8 (9##) ###-##-##",
        "03-####-####",
        "138 #### ####",
        "138########",
        "91 ### ## ##",
        "6## ### ###",
        "0404 ### ###",
        "(11) 9####-####",
        "98### #####",
        "0033612######",
        "00491712######",
    ];
    let form = dice.of(FORMS);
    dice.after(form)
}

pub(super) fn ssn_parts(dice: &mut Dice) -> [u64; 3] {
    let area = match dice.range(1, 898) {
        666 => 665,
        area => area,
    };
    [area, dice.range(1, 99), dice.range(1, 9999)]
}

pub(super) fn ssn(dice: &mut Dice) -> String {
    let [area, group, serial] = ssn_parts(dice);
    format!("{area:03}-{group:02}-{serial:04}")
}

pub(super) fn bare_ssn(dice: &mut Dice) -> String {
    let [area, group, serial] = ssn_parts(dice);
    let gap = dice.of(&["", " ", "-", "."]);
    format!("{area:03}{gap}{group:02}{gap}{serial:04}")
}

pub(super) fn user(dice: &mut Dice) -> String {
    let (a, b) = (dice.of(WORDS), dice.of(WORDS));
    match dice.range(0, 5) {
        0 => format!("{a}.{b}"),
        1 => format!("{a}{}", dice.range(1, 99)),
        2 => format!("{a}_{b}"),
        3 => format!("{}{b}", a.chars().next().unwrap()),
        4 => format!("jürgen{b}"),
        _ => format!("{a}-{b}"),
    }
}

pub(super) fn birth(dice: &mut Dice) -> String {
    let (year, month, day) = (dice.range(1930, 2015), dice.range(1, 12), dice.range(1, 28));
    let name = dice.of(&[
        "January", "Feb", "March", "Apr", "May", "June", "Jul", "Aug", "Sept", "October", "Dec",
    ]);
    match dice.range(0, 9) {
        0 => format!("{year}-{month:02}-{day:02}"),
        1 => format!("{day:02}.{month:02}.{year}"),
        2 => format!("{month:02}/{day:02}/{year}"),
        3 => format!("{month}/{day}/{year}"),
        4 => format!("{day} {name} {year}"),
        5 => format!("{name} {day}, {year}"),
        6 => format!("{year}/{month:02}/{day:02}"),
        7 => format!("{day}. {name} {year}"),
        8 => format!("{day}-{}-{year}", name.chars().take(3).collect::<String>()),
        _ => format!("{year}.{month:02}.{day:02}"),
    }
}
