//! `twitcher trigger --dry-run`: the run that would be started, as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::status::Preview;

/// The labels' column.
const LABEL: usize = 12;

/// One thing a line, then what would be on standard input, byte for byte.
pub(super) fn text(preview: &Preview) -> Vec<u8> {
    let Preview { watch, refused, verified_seconds, user, group, groups, directory, umask, .. } = preview;
    let mut text = String::new();
    let mut line = |label: &str, value: &str| text.extend([&format!("{label:<LABEL$}{value}"), "\n"]);
    line("watch", watch);
    if let Some(why) = refused {
        line("refused", why);
    }
    if let Some(seconds) = verified_seconds {
        line("state", &format!("the last known one, verified {seconds} s ago"));
    }
    line("user", user);
    line("group", &group.to_string());
    let numbers = |groups: &Vec<u32>| groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    line("groups", &groups.as_ref().map_or_else(|| "those of the daemon".to_owned(), numbers));
    line("directory", directory);
    line("umask", &format!("{umask:03o}"));
    if let Some(nice) = preview.nice {
        line("nice", &nice.to_string());
    }
    let lists = [
        ("limits", &preview.limits),
        ("environment", &preview.environment),
        ("arguments", &preview.arguments),
        ("validate", &preview.validate),
    ];
    for (label, values) in lists {
        for (at, value) in values.iter().enumerate() {
            line(if at == 0 { label } else { "" }, value);
        }
    }
    let input = preview.input.as_ref().map(|input| STANDARD.decode(input).unwrap_or_default());
    line(
        "input",
        &input.as_ref().map_or_else(|| "/dev/null".to_owned(), |input| format!("{} bytes:", input.len())),
    );
    let mut bytes = text.into_bytes();
    bytes.extend(input.unwrap_or_default());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_run_is_shown_and_its_input_as_it_is() {
        let preview = Preview {
            watch: "git".to_owned(),
            refused: None,
            verified_seconds: None,
            user: "deploy (1000)".to_owned(),
            group: 1000,
            groups: Some(vec![4, 1000]),
            directory: "/srv/app".to_owned(),
            umask: 0o22,
            nice: Some(5),
            limits: vec!["nofile = 1024".to_owned()],
            environment: vec!["HOME=/".to_owned(), "LANG=C".to_owned()],
            arguments: vec!["/bin/sh".to_owned(), "-c".to_owned(), "cat".to_owned()],
            validate: vec!["nginx".to_owned(), "-t".to_owned()],
            input: Some(STANDARD.encode(b"\xff\n")),
        };
        let expected = "watch       git\nuser        deploy (1000)\ngroup       1000\ngroups      4 1000\n\
                        directory   /srv/app\numask       022\nnice        5\nlimits      nofile = 1024\n\
                        environment HOME=/\n            LANG=C\narguments   /bin/sh\n            -c\n            cat\n\
                        validate    nginx\n            -t\n\
                        input       2 bytes:\n";
        assert_eq!(text(&preview), [expected.as_bytes(), b"\xff\n"].concat());
        let nothing =
            Preview { input: None, groups: None, refused: Some("it is paused".to_owned()), ..preview };
        let text = String::from_utf8(text(&nothing)).unwrap();
        assert!(
            text.ends_with("input       /dev/null\n") && text.contains("\nrefused     it is paused\n"),
            "{text}"
        );
    }
}
