use proptest::prelude::*;

use super::*;

/// Letters and digits that no real key has, `length` of them. Secrets are put together here, so that none stands
/// whole in the source.
fn noise(length: usize) -> String {
    "aB3dE5gH7jK9mN1pQ2sT4vW6".chars().cycle().take(length).collect()
}

proptest! {
    #[test]
    fn rules_are_due_where_one_of_their_literals_stands(
        parts in prop::collection::vec(
            prop_oneof![
                prop::sample::select(RULES.iter().flat_map(|rule| rule.literals).copied().collect::<Vec<_>>()),
                prop::sample::select(vec!["s", "k", "-", ":/", "pass", "é", " ", "priv", "ate key", "HTTP"]),
            ],
            0..4,
        ),
        upper: bool,
    ) {
        let text = if upper { parts.concat().to_uppercase() } else { parts.concat() };
        let lower = text.to_ascii_lowercase();
        let stands = |rule: &Rule| rule.literals.iter().any(|literal| lower.contains(&literal.to_ascii_lowercase()));
        let due: Vec<bool> = RULES.iter().map(stands).collect();
        prop_assert_eq!(Literals::new().due(text.as_bytes()).to_vec(), due, "{}", text);
    }
}

/// (text with `{}` for the secret, secret, text with `{}` for the mark)
fn shapes() -> Vec<(String, String, String)> {
    let mut shapes = Vec::new();
    let mut add = |template: &str, secret: String, expected: &str| {
        shapes.push((template.replace("{}", &secret), secret, expected.replace("{}", MARK)));
    };
    for (prefix, middle, length) in [
        ("sk-ant-", "api03-", 80),
        ("sk-ant-", "oat01-", 80),
        ("sk-", "", 48),
        ("sk-proj-", "", 100),
        ("sk-or-v1-", "", 64),
        ("AIza", "Sy", 33),
        ("ya29.", "a0", 60),
        ("ghp_", "", 36),
        ("gho_", "", 36),
        ("ghs_", "", 36),
        ("ghu_", "", 36),
        ("ghr_", "", 36),
        ("github_pat_", "11A_", 60),
        ("glpat-", "", 20),
        ("xoxb-", "123-", 30),
        ("xoxp-", "123-", 30),
        ("sk_live_", "", 24),
        ("rk_live_", "", 24),
        ("npm_", "", 36),
        ("hf_", "", 34),
        ("gsk_", "", 52),
        ("xai-", "", 80),
        ("GOCSPX-", "", 28),
        ("eyJ", "", 60),
    ] {
        let secret = format!("{middle}{}", noise(length));
        for around in [
            "key {} rejected",
            "({})",
            "\"{}\"",
            "a\\n{}\\n",
            "k%3D{}",
            "k\\u003d{}",
            "\u{1b}[31m{}\u{1b}[0m",
            "{}",
        ] {
            let around = around.replace("{}", &format!("{prefix}{{}}"));
            add(&around, secret.clone(), &around);
        }
    }
    for prefix in ["AKIA", "ASIA"] {
        let template = format!("id {prefix}{{}} denied");
        add(&template, noise(16).to_uppercase(), &template);
    }
    let jwt = format!("{}.{}.{}", noise(30), noise(60), noise(40));
    add("got eyJ{}, expired", jwt, "got eyJ{}, expired");
    for template in [
        "Authorization: Bearer {}",
        "authorization: Basic {}",
        "Authorization: token {}",
        r#""Authorization":"Bearer {}""#,
        r#"{\"authorization\": \"Bearer {}\"}"#,
        "('Authorization', 'Bearer {}')",
        "Authorization: Client-ID {}",
        "Authorization: {} was sent",
        "sent Bearer {} to host",
        "x-api-key: {}",
        "'x-api-key': '{}'",
        "api_key={}",
        "OPENAI_API_KEY={}",
        "export AWS_SECRET_ACCESS_KEY={}",
        "aws_secret_access_key = {}",
        "apikey: {}",
        "apiKey=\"{}\"",
        "token={}",
        "?access_token={}&x=1",
        "refresh_token={}",
        "client_secret={}",
        "secret={}",
        "secret: {}",
        "password={}",
        "password: {}",
        "passwd={}",
        "pwd={};Database=x",
        "DB_PASSWORD='{}'",
        r#"{"password":"{}"}"#,
        r#"{"password" : "{}", "user": "x"}"#,
        r#"{\"access_token\":\"{}\",\"type\":\"x\"}"#,
        r#"{\\\"client_secret\\\":\\\"{}\\\"}"#,
        "{'refresh_token': '{}'}",
        "AccountName=x;AccountKey={};EndpointSuffix=y",
        "https://x.blob.core.windows.net/c?sv=2024&sig={}&se=1",
        "curl --password {} host",
        "tool --api-key {} run",
        "Cookie: {}",
        "Set-Cookie: {}",
        r#""cookie": "{}""#,
        "postgres://user:{}@db.example/x",
        "https://user:{}@host",
        "redis://:{}@host:6379",
        r"https:\/\/user:{}@host",
        "-----BEGIN RSA PRIVATE KEY-----{}-----END RSA PRIVATE KEY----- after",
        "-----BEGIN OPENSSH PRIVATE KEY-----{}",
        "-----BEGIN PRIVATE KEY-----{}-----END PRIVATE KEY-----",
    ] {
        let secret = match template {
            _ if template.to_lowercase().contains("cookie") => {
                format!("sid={}; Path=/; b={}", noise(20), noise(9))
            }
            _ if template.contains("PRIVATE") => format!("\nMII{}\n{}=\n", noise(61), noise(40)),
            _ => noise(40),
        };
        add(template, secret, template);
    }
    add(r#""secret": "{}""#, format!("{} and ****", noise(20)), r#""secret": "{}""#);
    add(r#""secret": "api_key": "{}""#, noise(30), r#""secret": "[redacted]": "{}""#);
    // Words chosen by people.
    for template in ["password=hunter2", "password: hunter2", r#""password":"correct horse \" battery""#] {
        let (name, value) = template.split_at(template.find("hunter2").unwrap_or(12));
        let value = value.trim_end_matches('"');
        let rest = &template[name.len() + value.len()..];
        add(&format!("{name}{{}}{rest}"), value.to_owned(), &format!("{name}{{}}{rest}"));
    }
    shapes
}

#[test]
fn secrets_go_and_their_kind_stays() {
    for (text, secret, expected) in shapes() {
        let clean = redact(&text);
        assert!(!clean.contains(&secret), "{text} gives {clean}");
        assert_eq!(clean, expected, "{text}");
        assert_eq!(redact(&clean), clean, "twice: {text}");
        assert!(matches!(redact(&clean), Cow::Borrowed(_)));
    }
}

#[test]
fn ordinary_text_stays() {
    for text in [
        "",
        "You've hit your session limit · resets 9:26am (Asia/Tokyo)",
        "token limit exceeded: max_tokens: 64000, tokens: 12k, input_tokens=1000",
        r#"{"input_tokens":1000,"max_tokens":64000,"total_tokens":65000}"#,
        "the secret agent knows the password",
        "Incorrect API key provided: sk-****abcd.",
        "Incorrect API key provided: sk-proj-********************abcd",
        "Invalid API key · Fix external API key",
        "API key not valid. Please pass a valid API key.",
        "Missing api_key: set ANTHROPIC_API_KEY",
        "OAuth token has expired",
        "Unexpected token: } in JSON at position 21",
        "SyntaxError: Unexpected token < in JSON",
        "unexpected token: \"function\"",
        "password: must be at least 8 characters",
        "PWD=/home/user/project",
        "api_key=$OPENAI_API_KEY",
        "api_key=${OPENAI_API_KEY}",
        "password=<your password>",
        "password=null, token=None",
        "apiKey: process.env.OPENAI_API_KEY",
        r#"{"token":null,"secret":"","password":"****"}"#,
        r#""password": {"type": "string"}"#,
        "uses Bearer authentication",
        "Authorization: required",
        "Authorization: required for this host",
        "{\"Authorization\": \"Client-ID YOUR_ACCESS_KEY\"}",
        "authorization header missing",
        "the cookie: it crumbles",
        "http://localhost:8080/path@v1",
        "git@github.com:owner/name.git",
        "https://user@host/path",
        "-----BEGIN CERTIFICATE-----MIIabc-----END CERTIFICATE-----",
        "the sk-learn-contrib-examples-and-more package, task-queue-worker-number-one",
        "tokenizer: cl100k_base, token_type: x, token_count=5",
        r#"SELECT "user"."password", "user"."last_login""#,
        "default_sig = connection.creation.test_db_signature()",
        "monkey: banana, keyboard=us",
    ] {
        assert_eq!(redact(text), text);
        assert!(matches!(redact(text), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn every_pattern_compiles() {
    for pattern in [PRIVATE_KEY, AUTHORIZATION, COOKIE, ASSIGNMENT] {
        Regex::new(pattern).unwrap();
    }
}

#[test]
fn literals_hold_for_every_shape() {
    for (text, ..) in shapes() {
        let lower = text.to_ascii_lowercase();
        assert!(
            RULES
                .iter()
                .flat_map(|rule| rule.literals)
                .any(|literal| lower.contains(&literal.to_ascii_lowercase())),
            "{text}"
        );
    }
}

#[test]
fn an_excerpt_is_one_clean_line() {
    for (text, most, expected) in [
        ("  a\n\n b\t c \r\n", 80, "a b c"),
        ("\u{1b}[1;31mred\u{1b}[0m \u{1b}]0;title\u{7}x\u{1b}]8;;http://h\u{1b}\\y\u{1b}(B", 80, "red xy"),
        ("a\u{202e}b\u{2066}c\u{0}d\u{7f}e\u{9b}31mf", 80, "abcdef"),
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("abcd efg", 6, "abcd…"),
        ("äöüäöü", 3, "äö…"),
        ("ab", 0, ""),
        ("abc", 1, "…"),
        ("an open \u{1b}]0;title\nnext", 80, "an open next"),
    ] {
        assert_eq!(excerpt(text, most), expected, "{text:?}");
    }
}

#[test]
fn an_excerpt_redacts_what_escapes_hide() {
    let secret = noise(40);
    let (left, right) = secret.split_at(4);
    for text in [
        format!("password=\u{1b}[32m{secret}\u{1b}[0m"),
        format!("password=\u{1b}[1;32m{secret}\u{1b}[0m"),
        format!("password:\u{1b}[0m {secret}"),
        format!("key\u{1b}[32mghp_{secret}\u{1b}[0m"),
        format!("gh\u{1b}[1mp_{left}\u{1b}[0m{right}"),
        format!("sk-ant-api03-\u{202e}{left}\u{0}{right}"),
    ] {
        let line = excerpt(&text, 200);
        assert!(!line.contains(right) && line.contains(MARK), "{line}");
    }
}

#[test]
fn an_excerpt_redacts_what_only_makes_sense_in_one_line() {
    let secret = noise(40);
    for (text, expected) in [
        (format!("password:\n  {secret}\nis wrong"), "password: [redacted] is wrong"),
        (format!("Authorization:\tBearer\n{secret} sent"), "Authorization: Bearer [redacted] sent"),
        (format!("Cookie: sid={secret}\nstatus=429"), "Cookie: [redacted] status=429"),
        (format!("--api-key\n{secret}"), "--api-key [redacted]"),
    ] {
        let line = excerpt(&text, 200);
        assert_eq!(line, expected);
        assert_eq!(redact(&line), line);
    }
    // Also where it is cut off behind.
    let line = excerpt(&format!("password:\n{secret} {}", "x ".repeat(3000)), 30);
    assert_eq!(line, "password: [redacted] x x x x…");
}

#[test]
fn a_secret_cut_at_the_border_does_not_leak() {
    for (text, secret, _) in shapes() {
        let at = text.find(&secret).unwrap();
        for back in [0, 1, 3, 8, 20, secret.len(), text.len()] {
            // White space before it folds away, so the border comes near to the excerpt's beginning.
            let pad = (MAX_EXCERPT_SOURCE - back).saturating_sub(at);
            let long = format!("{}{text}{}", " ".repeat(pad), " tail".repeat(600));
            let line = excerpt(&long, 400);
            for part in [6, 12, secret.len()] {
                let part = &secret[..part.min(secret.len())];
                assert!(part.len() < 4 || !line.contains(part), "{back} back: {line}");
            }
        }
    }
}

proptest! {
    #[test]
    fn redacting_twice_changes_nothing_and_never_panics(
        parts in prop::collection::vec(
            prop_oneof![
                3 => prop::sample::select(vec![
                    "password", "token", "secret", "api_key", "Authorization", "Bearer", "Basic", "Cookie", "sk-", "sk-ant-",
                    "ghp_", "eyJ", "AKIA", "https://", "user", ":", "=", "@", "\"", "'", "\\", "\\\"", " ", "\n", ",", ";",
                    "[redacted]", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "--", "sig=", "[", "]", "{", "}",
                    "$", "***", "null", "must", "\u{1b}[31m", "é", "%3D",
                ]).prop_map(str::to_owned),
                1 => "[A-Za-z0-9_-]{1,30}",
                1 => "\\PC{0,6}",
            ],
            0..30,
        ),
        most in 0usize..50,
    ) {
        let text = parts.concat();
        let once = redact(&text).into_owned();
        let twice = redact(&once);
        prop_assert_eq!(&*twice, &*once);
        let line = excerpt(&text, most);
        prop_assert!(line.chars().count() <= most && !line.contains(char::is_control));
    }
}
