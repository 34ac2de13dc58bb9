//! Telephones, births, homes, names and the numbers of people and their devices.

use super::*;

#[test]
fn telephone_numbers_leave_no_tail() {
    for (text, wanted) in [
        ("+44(0)20 7946 0958", "[phone]"),
        ("+44 (0) 20 7946 0958, yes", "[phone], yes"),
        ("+33(0)1 42 61 32 20", "[phone]"),
        ("+49 (0)171 2345678", "[phone]"),
        ("0049 (0)171 2345678 or 0044(0)20 7946 0958", "[phone] or [phone]"),
        ("+20240505123456", "[phone]"),
        ("+44 20 7946 095812", "[phone]"),
        ("+442079460958 12", "[phone] 12"),
        ("+44123456789012345678", "+44123456789012345678"),
        ("phone 0171 2345678 0171 2345678", "phone [phone] [phone]"),
        ("206-981-3845x1234", "[phone]"),
        ("303.602.3937x5516 and (303)602-3937x123", "[phone] and [phone]"),
        ("1-206-981-3845X12", "[phone]"),
        ("001-206-981-3845x1234", "[phone]"),
        ("206-981-3845 x12", "[phone]"),
        ("206-981-3845ext12", "[phone]"),
        ("+12069813845x12 or tel 2069813845x1234.", "[phone] or tel [phone]."),
        ("+1.2069813845", "[phone]"),
        ("+52.520008", "+52.520008"),
        ("+13.4049541", "+13.4049541"),
        ("téléphone: 01.42.61.32.20", "téléphone: [phone]"),
        ("0084 53 849 1569, 00972 51 110 1878", "[phone], [phone]"),
        ("+972 51 110 1878 2024", "[phone] 2024"),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
    }
    for harmless in [
        "206-981-3845xl",
        "2069813845x1234",
        "call 2069813845x1234a",
        "206-981-3845x12345678",
        "1920x1080",
        "12.34.56x12",
        "part 206-981-38x12",
        "1.2.3.4x12",
        "call (0)",
        "1000 (0)",
    ] {
        assert_eq!(cleaned(harmless), harmless);
    }
}

#[test]
fn births_are_told_in_many_ways() {
    for (text, wanted) in [
        ("born on the 17th of May 1980", "born on the [birth_date]"),
        ("born May 17th, 1980", "born [birth_date]"),
        ("geboren am 17. Mai 1980", "geboren am [birth_date]"),
        ("geboren am 3. März 1980 in Ulm", "geboren am [birth_date] in Ulm"),
        ("geb. 17.05.1980", "geb. [birth_date]"),
        ("nato il 17/05/1980", "nato il [birth_date]"),
        ("nata il 17 giugno 1980", "nata il [birth_date]"),
        ("née le 17 août 1980", "née le [birth_date]"),
        ("nacida el 17 de marzo de 1980", "nacida el [birth_date]"),
        ("D.O.B. 05/17/1980", "D.O.B. [birth_date]"),
        ("d.o.b: 17.5.1980", "d.o.b: [birth_date]"),
        ("dob=19800517", "dob=[birth_date]"),
        ("dob: 17051980", "dob: [birth_date]"),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
        assert_eq!(cleaned(wanted), wanted);
    }
    for harmless in [
        "NATO 17/05/1980",
        "dob=12345678",
        "dob=198005170",
        "web. 17.05.1980",
        "a.b. 17.05.1980",
        "shipped 17 May 1980",
        "birthday of 17 users",
    ] {
        assert_eq!(cleaned(harmless), harmless);
    }
}

#[test]
fn a_birth_word_is_seen_before_any_sign_and_an_answer_behind_its_question() {
    for (text, wanted) in [
        (
            "I need your date of birth. It's 16-11-1997",
            "I need your date of birth. It's [birth_date]",
        ),
        ("And your birthday? It's 13 Apr 1977.", "And your birthday? It's [birth_date]."),
        ("Date of birth? Tuesday, 3 May 1988", "Date of birth? Tuesday, [birth_date]"),
        ("birthday? Mine is on 1977-04-13", "birthday? Mine is on [birth_date]"),
        ("birth_date: 1959/08/14", "birth_date: [birth_date]"),
        ("log {\"birth_date\":\"1980-05-17\"", "log {\"birth_date\":\"[birth_date]\""),
        ("?birth_date=1980-05-17&a=1", "?birth_date=[birth_date]&a=1"),
        ("birth-date: 17.05.1980", "birth-date: [birth_date]"),
        ("dob_date: 05/17/1980", "dob_date: [birth_date]"),
        ("user.birth.date = 1980-05-17", "user.birth.date = [birth_date]"),
        ("geb. am 17.05.1980", "geb. am [birth_date]"),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
        assert_eq!(cleaned(wanted), wanted);
    }
    for harmless in [
        "We have your birthday. Sent 2024-01-02",
        "Birthday? Order by 2024-01-02",
        "?birthday?at=2024-01-02",
        "birthday! 2024-01-02",
        "birth_rate_2024 12.3",
        "birth-control since 12.3",
    ] {
        assert_eq!(cleaned(harmless), harmless);
    }
}

#[test]
fn births_are_told_in_many_languages() {
    for (text, wanted) in [
        ("data de nascimento: 17/05/1980", "data de nascimento: [birth_date]"),
        ("nascida em 17 de maio de 1980", "nascida em [birth_date]"),
        ("geboortedatum 17-05-1980", "geboortedatum [birth_date]"),
        ("född 1980-05-17, Født 17.05.1980", "född [birth_date], Født [birth_date]"),
        ("Födelsedatum: 1980-05-17", "Födelsedatum: [birth_date]"),
        ("fødselsdato 17.5.1980", "fødselsdato [birth_date]"),
        ("urodzona 17.05.1980 w Gdyni", "urodzona [birth_date] w Gdyni"),
        ("datum narození: 17.05.1980", "datum narození: [birth_date]"),
        (
            "syntynyt 17.5.1980, syntymäaika 17.5.1980",
            "syntynyt [birth_date], syntymäaika [birth_date]",
        ),
        ("nació el 17 de mayo de 1980", "nació el [birth_date]"),
        ("Née à Saint-Denis le 17/05/1980", "Née à Saint-Denis le [birth_date]"),
        ("nato a Roma il 17/05/1980", "nato a Roma il [birth_date]"),
        ("дата рождения: 17.05.1980", "дата рождения: [birth_date]"),
        ("生年月日：1980/05/17", "生年月日：[birth_date]"),
        ("生年月日: 1980年5月17日生まれ", "生年月日: [birth_date]生まれ"),
        ("born 1980년 5월 17일", "born [birth_date]"),
        ("doğum tarihi: 17.05.1980", "doğum tarihi: [birth_date]"),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
        assert_eq!(cleaned(wanted), wanted);
    }
    for harmless in [
        "abonné le 17/05/2020",
        "né. Rendez-vous le 17/05/2020",
        "nata per caso: il 17/05/2020",
        "fraß 2020-05-17",
        "stöddes 2020-05-17",
        "生年月日: 1980年13月",
        "公開日 2020年5月17日",
    ] {
        assert_eq!(cleaned(harmless), harmless);
    }
}

#[test]
fn words_of_telephones_that_mean_other_things() {
    for (text, wanted) in [
        ("call me on 0171 2345678", "call me on [phone]"),
        ("call 206 981 3845 or fax 030 1960100", "call [phone] or fax [phone]"),
        ("text us: 206 981 3845", "text us: [phone]"),
        ("ring Anna at 020 7946 0958", "ring Anna at [phone]"),
        ("portable 06 12 34 56 78", "portable [phone]"),
        ("Bo called support from 030 1960100 twice", "Bo called support from [phone] twice"),
        ("she rang him on 020 7946 0958", "she rang him on [phone]"),
        ("fax no. 030-1960100, sms sent to 0171 2345678", "fax no. [phone], sms sent to [phone]"),
        ("contact number: 020 7946 0958", "contact number: [phone]"),
        ("cellulare 347 1234567, celular 55 1234 5678", "cellulare [phone], celular [phone]"),
        ("Телефон: (921) 573-58-87", "Телефон: [phone]"),
        ("номер телефона 921 573 58 87, тел. 573-58-87", "номер телефона [phone], тел. [phone]"),
        ("電話番号：03-1234-5678", "電話番号：[phone]"),
        ("手机号码: 13812345678", "手机号码: [phone]"),
        ("我的手机是13812345678", "我的手机是[phone]"),
        ("手机号码是：138 1234 5678", "手机号码是：[phone]"),
        ("请打电话给我13812345678", "请打电话给我[phone]"),
        ("携帯番号が090-1234-5678", "携帯番号が[phone]"),
        ("전화번호가 010-1234-5678", "전화번호가 [phone]"),
        ("手机订单号 40812345678", "手机订单号 40812345678"),
        ("手机登录 20231105", "手机登录 20231105"),
        ("τηλ. 210 1234567", "τηλ. [phone]"),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
        assert_eq!(cleaned(wanted), wanted);
    }
    for harmless in [
        "text length 4014 7633 4494",
        "ring buffer 971/7188/8663",
        "fax pages 5835/8881/9730",
        "portable 706 9967 7297",
        "call stack depth 3040 7974 1582",
        "called at 1637831336423",
        "called 3040 7974 1582 times",
        "contact form 3040 7974 1582",
        "call_id=12345678901, call id: 12345678901",
        "учитель 921 573 58 87",
        "invoice 5637774221644958",
        "transaction 4322936125715142",
    ] {
        assert_eq!(cleaned(harmless), harmless);
    }
    assert_eq!(cleaned("invoice: 5637774221644958"), "invoice: [card]");
}

#[test]
fn imeis_and_social_security_numbers_in_further_spellings() {
    for (text, wanted) in [
        ("IMEI 356332-26-054150-0", "IMEI [imei]"),
        ("imei=35633226-054150-0&x", "imei=[imei]&x"),
        ("ssn-321-72-3347", "ssn-[ssn]"),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
    }
    for harmless in ["356332-26-054150-1", "part-321-72-3347", "35633226-054150-12"] {
        assert_eq!(cleaned(harmless), harmless);
    }
}

#[test]
fn homes_lie_below_other_folders_and_behind_other_signs() {
    for (text, wanted) in [
        ("/data/home/anna/x, /nfs/home/anna/x", "/data/home/[user]/x, /nfs/home/[user]/x"),
        ("log>/home/anna/x", "log>/home/[user]/x"),
        (
            "render@/home/anna/x.js:1:2\n@/home/anna/x.js",
            "render@/home/[user]/x.js:1:2\n@/home/[user]/x.js",
        ),
        ("webpack:///home/anna/src/x.js", "webpack:///home/[user]/src/x.js"),
        ("/home/users/anna12/x", "/home/users/[user]/x"),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
        assert_eq!(cleaned(wanted), wanted);
    }
    for harmless in [
        "import x from '@/home/feed/index.vue'",
        "webpack:///home/index.js",
        "https://example.com/data/home/feed",
        "../home/index.js",
        "at /home/node/app/index.js:1:2, /home/ubuntu/x, /home/gitlab-runner/builds/x",
        "GET /scim/v2/Users/88cf4048-a2b1-44f9-ac38-aa3e4cf92f37",
    ] {
        assert_eq!(cleaned(harmless), harmless);
    }
}

#[test]
fn names_keep_their_marks() {
    for (text, wanted) in [
        ("I am कृष्ण मालिक (n@b.de)", "I am [name] ([email])"),
        ("User ขวัญรุ้ง บุญญาไลย์ <n@b.de>", "User [name] <[email]>"),
        ("Jose\u{301} Garci\u{301}a <n@b.de>", "[name] <[email]>"),
        ("To: \"Boer, Anna\" <n@b.de>; Bo <m@b.de>", "To: \"[name]\" <[email]>; [name] <[email]>"),
        ("In Rome, Anna <n@b.de>", "In Rome, [name] <[email]>"),
    ] {
        assert_eq!(cleaned(text), wanted, "{text}");
    }
}

#[test]
fn owners_of_devices() {
    for (text, owner) in [
        ("Anna's iPhone", Some("Anna")),
        ("近藤's iPhone", Some("近藤")),
        ("Linus’s MacBook Pro", Some("Linus")),
        ("iPhone de Maria", Some("Maria")),
        ("Annas-MacBook-Pro.local", Some("Anna")),
        ("iPhone", None),
        ("o1s", None),
        ("Galaxy S21", None),
    ] {
        let mut finder = Finder::default();
        let found = finder.find(text, Set::of(&[Detector::DeviceOwner])).first().copied();
        let span = found.map(|one| text.get(one.start..one.end).unwrap());
        assert_eq!(span, owner, "{text}");
    }
}

#[test]
fn paths_of_pages_are_no_homes() {
    let mut finder = Finder::default();
    let mut count = |text: &str| finder.find(text, Set::of(&[Detector::UserFile])).len();
    for route in ["/home/feed/new", "/home/settings", "/home"] {
        assert_eq!(count(route), 0, "{route}");
    }
    for file in ["/home/anna/.config/x", "/home/anna/app.log", "/home/anna/src", "/Users/anna/x"] {
        assert_eq!(count(file), 1, "{file}");
    }
}
