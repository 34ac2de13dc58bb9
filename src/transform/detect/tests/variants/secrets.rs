//! Makers of secrets: tokens, keys, passwords, wallets.

use super::dice::Dice;
use super::people::WORDS;
use super::sums;

pub(super) fn jwt(dice: &mut Dice) -> String {
    let head = dice.of(&[
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjEifQ",
        "eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9",
        "eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0",
    ]);
    let length = usize::try_from(dice.range(20, 200)).unwrap();
    let claims = dice.repeated("eyJ", 'ũ', length);
    match dice.range(0, 4) {
        0 => format!("{head}.{claims}."),
        _ => format!("{head}.{claims}.{}", dice.repeated("", 'ũ', 42) + "A"),
    }
}

/// As the vendors document them, or as their own scanners look for them.
const TOKENS: &[(&str, char, usize, &str)] = &[
    ("AKIA", 'ŧ', 16, ""),
    ("ASIA", 'ŧ', 16, ""),
    ("ghp_", '¤', 36, ""),
    ("gho_", '¤', 36, ""),
    ("ghu_", '¤', 36, ""),
    ("ghs_", '¤', 36, ""),
    ("ghr_", '¤', 36, ""),
    ("github_pat_11", '¤', 80, ""),
    ("glpat-", 'ũ', 20, ""),
    ("glptt-", 'ħ', 40, ""),
    ("gldt-", 'ũ', 20, ""),
    ("glrt-", 'ũ', 20, ""),
    ("xoxb-123456789012-123456789012-", '¤', 24, ""),
    ("xoxp-123456789012-123456789012-123456789012-", 'ħ', 32, ""),
    ("xapp-1-A012345678-1234567890123-", 'ħ', 64, ""),
    ("https://hooks.slack.com/services/T01ABCDEF/B01ABCDEF/", '¤', 24, ""),
    ("https://discord.com/api/webhooks/123456789012345678/", 'ũ', 68, ""),
    ("sk_live_", '¤', 24, ""),
    ("sk_test_", '¤', 24, ""),
    ("rk_live_", '¤', 24, ""),
    ("whsec_", '¤', 32, ""),
    ("AIza", 'ũ', 35, ""),
    ("ya29.", 'ũ', 60, ""),
    ("GOCSPX-", 'ũ', 28, ""),
    ("1//0", 'ũ', 60, ""),
    ("sk-", '¤', 48, ""),
    ("sk-proj-", 'ũ', 60, ""),
    ("sk-svcacct-", 'ũ', 60, ""),
    ("sk-ant-api03-", 'ũ', 93, "AA"),
    ("npm_", '¤', 36, ""),
    ("pypi-AgEIcHlwaS5vcmc", 'ũ', 80, ""),
    ("SG.abcdefghijklmnopqrstuv.", 'ũ', 43, ""),
    ("SK", 'ħ', 32, ""),
    ("AC", 'ħ', 32, ""),
    ("key-", 'ħ', 32, ""),
    ("123456789:AA", 'ũ', 33, ""),
    ("MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcdE.", 'ũ', 38, ""),
    ("dop_v1_", 'ħ', 64, ""),
    ("shpat_", 'ħ', 32, ""),
    ("shpss_", 'ħ', 32, ""),
    ("sq0atp-", 'ũ', 22, ""),
    ("sq0csp-", 'ũ', 43, ""),
    ("EAAA", 'ũ', 60, ""),
    ("hf_", '¤', 34, ""),
    ("hvs.", 'ũ', 90, ""),
    ("dapi", 'ħ', 32, ""),
    ("lin_api_", '¤', 40, ""),
    ("ATATT3xFfGF0", 'ũ', 170, "=1A2B3C4D"),
    ("PMAK-", 'ħ', 24, "-0123456789abcdef0123456789abcdef01"),
    ("NRAK-", 'Ł', 27, ""),
    ("glsa_", '¤', 32, "_0a1b2c3d"),
    ("xkeysib-", 'ħ', 64, "-abcdefghijklmnop"),
    ("rubygems_", 'ħ', 48, ""),
    ("figd_", 'ũ', 40, ""),
    ("dckr_pat_", 'ũ', 27, ""),
    ("tfp_", '¤', 59, ""),
    ("abcdefghijklmn.atlasv1.", 'ũ', 65, ""),
    ("sntrys_", '¤', 60, ""),
    ("phc_", '¤', 43, ""),
    ("r8_", '¤', 37, ""),
    ("gsk_", '¤', 52, ""),
    ("AGE-SECRET-KEY-1", 'Q', 58, ""),
    ("CFPAT-", 'ũ', 43, ""),
    ("pat", '¤', 14, ".0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
    ("amzn.mws.", 'ħ', 8, "-0123-4567-89ab-0123456789ab"),
    ("access_token$production$", 'ħ', 16, "$0123456789abcdef0123456789abcdef"),
    ("AccountKey=", '¤', 86, "=="),
    ("SharedAccessKey=", '¤', 43, "="),
];

pub(super) fn token(dice: &mut Dice) -> String {
    let (head, each, count, tail) = TOKENS[dice.place(TOKENS.len())];
    let body = dice.repeated(head, each, count - 1);
    // The last character is a letter: a dash there may as well belong to the sentence.
    format!(
        "{body}{}{tail}",
        if each == 'ħ' {
            'd'
        } else if each == 'ł' {
            'q'
        } else {
            'Q'
        }
    )
}

pub(super) fn bearer(dice: &mut Dice) -> String {
    match dice.range(0, 3) {
        0 => dice.after("¤¤¤¤¤¤¤¤¤¤¤¤7a¤¤¤¤¤¤"),
        1 => dice.after("ħħħħħħħħħħħħħħħħħ3"),
        2 => dice.after("YW5uYTpodW50ZXI¤¤¤=="),
        _ => dice.after("ũũũũũũũũ.ũũũũũũũũ4x"),
    }
}

pub(super) fn pem(dice: &mut Dice) -> String {
    let label = dice.of(&[
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "DSA PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ]);
    let gap = dice.of(&["\n", "\r\n", "\\n", " "]);
    let lines: Vec<String> = (0..3).map(|_| dice.repeated("", '¤', 64)).collect();
    format!("-----BEGIN {label}-----{gap}{}{gap}-----END {label}-----", lines.join(gap))
}

pub(super) fn credentials(dice: &mut Dice) -> String {
    let user = dice.of(WORDS).to_owned();
    match dice.range(0, 4) {
        0 => format!(":{}", dice.after("¤¤¤¤¤¤¤¤¤")),
        1 => format!("{user}:{}", dice.after("p%40¤¤¤¤¤")),
        2 => format!("{user}:{}", dice.after("¤¤@¤¤!¤¤")),
        3 => format!("{user}%40corp:{}", dice.after("¤¤¤¤¤¤¤¤")),
        _ => format!("{user}:{}", dice.after("¤¤¤¤¤¤¤¤¤¤")),
    }
}

pub(super) fn password(dice: &mut Dice) -> String {
    const MARKS: &[u8] = b"!#$%^*()_+ABCabc123DEFdef456";
    match dice.range(0, 5) {
        0 => format!("hunter{}", dice.range(0, 9)),
        1 => format!("{}{}", dice.of(WORDS), dice.range(10, 9999)),
        2 => dice.after("¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤¤"),
        3 => format!("({}1a", dice.some(MARKS, 9)),
        4 => format!("*{}B2", dice.some(MARKS, 9)),
        _ => format!("{}c3", dice.some(MARKS, 10)),
    }
}

pub(super) fn wallet(dice: &mut Dice) -> String {
    let bytes = |dice: &mut Dice, count: u64| -> Vec<u8> {
        (0..count).map(|_| dice.next().to_be_bytes()[0]).collect()
    };
    match dice.range(0, 10) {
        0..=1 => sums::base58check(0, &bytes(dice, 20)),
        2 => sums::base58check(5, &bytes(dice, 20)),
        3 => sums::segwit("bc", 0, &bytes(dice, 20)),
        4 => sums::segwit("bc", 0, &bytes(dice, 32)),
        5 => sums::segwit("bc", 1, &bytes(dice, 32)),
        6 => sums::base58check(*dice.of(&[&0x30, &0x1E, &0x4C, &0x32]), &bytes(dice, 20)),
        7 => sums::segwit("ltc", 0, &bytes(dice, 20)),
        8 => dice.repeated("0x", 'ħ', 40),
        9 => sums::segwit("bc", 0, &bytes(dice, 20)).to_uppercase(),
        // Tron.
        _ => sums::base58check(0x41, &bytes(dice, 20)),
    }
}
