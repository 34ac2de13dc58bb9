//! Makers of numbers with check digits, and of addresses of devices.

use std::net::Ipv6Addr;

use super::dice::Dice;
use super::sums;

/// A number of one of the schemes, with how it is printed.
fn scheme(dice: &mut Dice) -> (String, &'static [usize]) {
    const FOURS: &[usize] = &[4, 4, 4, 4];
    let mastercard2 = dice.range(2221, 2720).to_string();
    let jcb = dice.range(3528, 3589).to_string();
    let (head, length, groups): (&str, usize, &'static [usize]) = match dice.range(0, 23) {
        0..=2 => ("4", 16, FOURS),
        3 => ("4", 13, &[4, 3, 3, 3]),
        4 => ("4", 19, &[4, 4, 4, 4, 3]),
        5 => ("51", 16, FOURS),
        6 => ("55", 16, FOURS),
        7..=8 => (&mastercard2, 16, FOURS),
        9 => ("34", 15, &[4, 6, 5]),
        10 => ("37", 15, &[4, 6, 5]),
        11 => ("6011", 16, FOURS),
        12 => ("65", 16, FOURS),
        13 => ("645", 16, FOURS),
        14 => ("36", 14, &[4, 6, 4]),
        15 => ("305", 14, &[4, 6, 4]),
        16 => ("3095", 14, &[4, 6, 4]),
        17 => (&jcb, 16, FOURS),
        18 => ("622126", 16, FOURS),
        19 => ("6221", 19, &[6, 13]),
        20 => ("2202", 16, FOURS),
        21 => (
            dice.of(&[
                "5018", "5020", "5038", "5612", "5893", "6304", "6390", "6759", "6761", "6763",
            ]),
            16,
            FOURS,
        ),
        22 => ("6799", 18, FOURS),
        _ => (
            dice.of(&["508500", "606985", "9792", "401178", "636368", "506699", "606282", "5019"]),
            16,
            FOURS,
        ),
    };
    let tail: String = std::iter::repeat_n('#', length - head.len() - 1).collect();
    (sums::with_luhn(&(head.to_owned() + &dice.after(&tail))), groups)
}

pub(super) fn card(dice: &mut Dice) -> String {
    scheme(dice).0
}

pub(super) fn printed_card(dice: &mut Dice) -> String {
    let (number, groups) = scheme(dice);
    // Two groups with a dot between them are a decimal.
    let gaps: &[&str] = if groups.len() > 2 { &[" ", " ", "-", "."] } else { &[" ", "-"] };
    let gap = dice.of(gaps);
    sums::grouped(&number, groups, gap)
}

pub(super) fn iban(dice: &mut Dice) -> String {
    // The structures of the registry: n is a digit, a a capital letter, c either.
    const ACCOUNTS: &[(&str, &str)] = &[
        ("DE", "##################"),
        ("FR", "##########¤¤¤¤¤¤¤¤¤¤¤##"),
        ("GB", "ŁŁŁŁ##############"),
        ("ES", "####################"),
        ("IT", "Ł##########¤¤¤¤¤¤¤¤¤¤¤¤"),
        ("NL", "ŁŁŁŁ##########"),
        ("BE", "############"),
        ("CH", "#####¤¤¤¤¤¤¤¤¤¤¤¤"),
        ("AT", "################"),
        ("PL", "########################"),
        ("PT", "#####################"),
        ("SE", "####################"),
        ("NO", "###########"),
        ("DK", "##############"),
        ("FI", "##############"),
        ("IE", "ŁŁŁŁ##############"),
        ("GR", "#######¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤"),
        ("LU", "###¤¤¤¤¤¤¤¤¤¤¤¤¤"),
        ("CZ", "####################"),
        ("RO", "ŁŁŁŁ¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤"),
        ("TR", "#####0¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤"),
        ("SA", "##¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤"),
        ("AE", "###################"),
        ("BR", "#######################Ł¤"),
        ("MT", "ŁŁŁŁ#####¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤"),
        ("UA", "######¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤"),
        ("LC", "ŁŁŁŁ¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤"),
    ];
    let (country, account) = ACCOUNTS[dice.place(ACCOUNTS.len())];
    let account = dice.after(account).to_uppercase();
    let whole = sums::iban(country, &account);
    let gap = match dice.range(0, 5) {
        0..=2 => return whole,
        3 => return whole.to_lowercase(),
        4 => "-",
        _ => " ",
    };
    sums::grouped(&whole, &[4; 9], gap)
}

pub(super) fn ipv4(dice: &mut Dice) -> String {
    let mut part = || match dice.range(0, 3) {
        0 => dice.range(0, 9),
        1 => dice.range(10, 99),
        _ => dice.range(100, 255),
    };
    let first = part().clamp(1, 223);
    let first = if first == 127 { 126 } else { first };
    format!("{first}.{}.{}.{}", part(), part(), part())
}

pub(super) fn ipv6(dice: &mut Dice) -> String {
    let whole = Ipv6Addr::from_bits(u128::from(dice.next()) << 64 | u128::from(dice.next()));
    let full = || whole.segments().map(|s| format!("{s:04x}")).join(":");
    match dice.range(0, 11) {
        0..=1 => whole.to_string(),
        2 => full(),
        3 => full().to_uppercase(),
        4 => dice.after("2001:db8:ħħħħ::ħħħħ"),
        5 => dice.after("fe80::ħħħ:ħħff:feħħ:ħħħħ"),
        6 => dice.after("2a02:26f0:ħħħħ:ħħħħ::1"),
        7 => format!("::ffff:{}", ipv4(dice)),
        8 => format!("64:ff9b::{}", ipv4(dice)),
        9 => dice.after("fdħħ:ħħħħ:ħħħħ::§"),
        10 => dice.after("2606:4700:ħħħħ::§##:ħħħħ"),
        _ => dice.after("2001:0db8:85a3:0000:0000:8a2e:0370:ħħħħ"),
    }
}

pub(super) fn mac(dice: &mut Dice) -> String {
    let form = dice.of(&[
        "ħħ:ħħ:ħħ:ħħ:ħħ:ħ5",
        "ĦĦ:ĦĦ:ĦĦ:ĦĦ:ĦĦ:Ħ7",
        "ħħ-ħħ-ħħ-ħħ-ħħ-ħ2",
        "ĦĦ-ĦĦ-ĦĦ-ĦĦ-ĦĦ-Ħ9",
        "aħħħ.ħħħħ.ħħħ3",
        "ĦĦĦĦ.ĦBĦĦ.ĦĦĦ4",
    ]);
    dice.after(form)
}

pub(super) fn imei(dice: &mut Dice) -> String {
    let body = dice.of(&["35", "86", "01", "99", "35", "35"]);
    let number = sums::with_luhn(&dice.after(&format!("{body}############")));
    match dice.range(0, 3) {
        0 => sums::grouped(&number, &[2, 6, 6, 1], "-"),
        1 => sums::grouped(&number, &[2, 6, 6, 1], " "),
        _ => number,
    }
}
