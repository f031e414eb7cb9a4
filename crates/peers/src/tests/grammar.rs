//! Spelling: what argparse and click take.

use super::{all, own, refusal, translation, try_translation};

#[test]
fn click_takes_whole_names_and_values_behind_them_or_an_equals_sign() {
    assert_eq!(own("uvicorn --port=80 main:app --workers 2", &[]), "main:app --port 80 --workers 2");
    assert_eq!(own("granian main:app --no-ws --ws --interface ASGI", &[]), "main:app --ws --interface asgi");
    assert!(refusal("uvicorn --work 2 a:b").contains("did you mean --workers?"));
    assert!(refusal("uvicorn a:b --reload=1").contains("--reload takes no value"));
    assert!(refusal("uvicorn a:b --port").contains("--port needs a value"));
    assert!(refusal("granian a:b c:d").contains("`c:d` is one argument too many"));
    assert!(refusal("granian a:b -w 2").contains("no option -w"));
}

#[test]
fn argparse_takes_beginnings_of_names_and_letters_with_their_values() {
    let expected = "a:b --workers 4 --bind :80 --bind '[::]:81'";
    for line in
        ["-w4 -b :80 -b[::]:81", "-w=4 --bin=:80 -b '[::]:81'", "--workers 4 --bind :80 --bind [::]:81"]
    {
        assert_eq!(own(&format!("hypercorn {line} a:b"), &[]), expected, "{line}");
    }
    assert!(refusal("hypercorn --work 2 a:b").contains("--work may be --worker-class or --workers"));
    assert!(refusal("hypercorn a:b --bind --reload").contains("--bind needs a value"));
    assert!(refusal("hypercorn a:b --wokers 2").contains("did you mean --workers?"));
}

#[test]
fn the_command_line_wins_over_variables_and_of_several_the_last() {
    let variables = &[("UVICORN_PORT", "81"), ("UVICORN_WORKERS", "3"), ("UVICORN_HOST", "")][..];
    let line = "uvicorn a:b --port 82 --port 80";
    assert_eq!(own(line, variables), "a:b --port 80 --workers 3");
    assert!(translation(line, variables).explanation().contains("UVICORN_PORT=81"));
    let off = &[("UVICORN_ACCESS_LOG", "off"), ("UVICORN_APP", "main:app")][..];
    assert_eq!(own("uvicorn", off), "main:app --no-access-log");
    assert_eq!(all("uvicorn", off)["access-log"], "false");
    let granian = &[("GRANIAN_WEBSOCKETS", "0"), ("GRANIAN_STATIC_PATH_MOUNT", "/a:/b")][..];
    assert_eq!(own("granian a:b", granian), "a:b --no-ws --static-path-mount /a --static-path-mount /b");
    let wrong = try_translation("granian a:b", &[("GRANIAN_RELOAD", "perhaps")]).unwrap_err();
    assert!(wrong.text().contains("invalid value 'perhaps' for GRANIAN_RELOAD"), "{wrong:?}");
}

#[test]
fn passwords_are_not_explained() {
    let explanation = translation("uvicorn a:b --ssl-keyfile-password 'my secret'", &[]).explanation();
    assert!(!explanation.contains("my secret") && explanation.contains("(not shown)"), "{explanation}");
}
