//! Golden transcripts of whole sessions on a small tree; cli.md sections 1 to 3 by example.
#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

mod common;

use common::{Script, house, session, type_lines};
use openadp_cli::{Format, Options};

fn transcript(lines: &str) -> String {
    transcript_with(Options::default(), &[], lines)
}

fn transcript_with(options: Options, answers: &[&'static str], lines: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path(), &house(), options);
    let mut script =
        Script { answers: answers.iter().copied().collect(), interactive: true, ..Script::default() };
    script.files.insert("/tmp/engraving", "for my love\nand forever\n");
    script
        .files
        .insert("/tmp/commands", "# a file\nHouse;Door\nset openSeconds 7\nbogus\nset openSeconds 8\n");
    script.files.insert("/tmp/itself", "read /tmp/itself\n");
    type_lines(&mut session, &mut script, lines)
}

macro_rules! golden {
    ($name:ident, $transcript:expr) => {
        #[test]
        fn $name() {
            insta::assert_snapshot!($transcript);
        }
    };
}

golden!(
    navigation,
    transcript(
        "House
     Door
     ..
     door;guests
     q
     quit
     quit
     quit
     hou;do
     cd
     cd House/Door
     cd ..
     cd /House/Door/Guests
     /House/Keys
     House/Door
     AS_CLI
     street
     ADP_CLI
     House/Gate
     cd nowhere
     House/Door/Nowhere
     0
     0
     9
     exit; n
     e;y"
    )
);

golden!(
    reading,
    transcript(
        "House;Door
     get
     get openSeconds
     g
     Guests> get
     House/Door/Guests get
     add ann 1 true
     Guests
     add ann 1 true
     add \"bob the builder\" 2 f remark \"likes blue\" code s3cret
     get
     get ann
     get BOB
     get \"Bob the Builder\" 2
     get ann 1 2
     detail ann 1
     detail carl 1
     get -e
     ADP_CLI/House/Keys> get
     ADP_CLI/House/Keys> get -e
     ADP_CLI/House/Keys> count"
    )
);

golden!(
    changing,
    transcript(
        "House;Door
     set openSeconds 20 enabled f
     set openSeconds 99
     set openSeconds
     set
     set bogus 1
     set opensecond 1
     openSeconds = 5
     set openSeconds = 5
     set colour green
     set colour blue
     set comment \"a b\"
     set comment \"\"
     get
     clear openSeconds
     clear bogus
     clear
     get
     Guests
     add ann 1 true
     add ann 1 true
     add ann
     add ann 2 maybe
     add ann 13 true
     add ann 13 true --force
     set ann 1 stays false remark hello
     set ann 7 stays false
     set ann 1
     clear ann 1 remark
     clear ann 1 stays
     delete ann 1
     delete ann 1
     delete ann
     delete ann 1 x
     get"
    )
);

golden!(
    secrets,
    transcript_with(
        Options { lines_are_public: true, ..Options::default() },
        &["one", "one", "one", "two", "three", "three"],
        "House/Door> set code on-the-line
     House/Door> get
     House/Door> set code
     House/Door> set code
     House/Door> set code New Password: pasted
     House/Door> set code New Password: pasted Re-type New Password: pasted enabled false
     House/Door/Guests> add ann 1 true code
     House/Door/Guests> get
     House/Door> set code bad bogus x
     House/Door> set code x; House/Door; get
     history
     diff 1
     diff"
    )
);

golden!(
    actions_and_files,
    transcript(
        "House/Keys
     help
     cutKey home /tmp/engraving
     cutKey home /tmp/engraving
     cutKey spare /tmp/engraving polish true passphrase
     cutKey spare /tmp/nothing
     cutKey spare
     cutKey
     cutKey a /tmp/engraving bogus 1
     count
     count x
     get
     delete spare
     get home
     read /tmp/commands
     read /tmp/itself
     read /tmp/nothing
     read"
    )
);

golden!(
    help,
    transcript(
        "help
     House;Door
     HELP
     help get
     h set
     help clear
     help help
     help rollback
     help bogus
     Guests
     h add
     help set
     help delete
     ADP_CLI/House/Keys> help cutkey
     ADP_CLI/House/Keys/cutKey> help
     tree
     cd
     tree
     tree 1
     t -c 2
     tree x"
    )
);

golden!(
    pasted,
    transcript(
        "XSP|ADP_CLI/House/Door>set openSeconds 3
     /XSP|ADP_CLI/House/Door> get
     ADP_CLI/house/DOOR> Get
     /House/Door> get openSecs
     _CLI/House/Door> set comment “in quotes”
     ADP_CLI/House/Door set comment glued...Done
     ADP_CLI/House/Gate> get comment
     ADP_CLI/House/Keys/cutKey> home /tmp/engraving
     AS_CLI/Street/Neighbours> add joe
     ADP_CLI/House/Doors> get
     NS_CLI/House> get
     set \"open
     \"get\"
     # a remark
     House/Door> openSeconds = 2
     c
     r
     d
     history
     re
     repeat 1
     re 99
     hi 2"
    )
);

golden!(
    confirmations,
    transcript_with(
        Options::default(),
        &["what", "n", "Yes"],
        "House/Door> set openSeconds 2
     House/Door> set openSeconds 3
     rollback
     rollback x
     rollback 9
     rollback 1
     House/Door> get openSeconds
     rollback 1
     House/Door> get openSeconds
     diff
     diff 2
     diff 0 2
     diff 3 3
     diff 9
     rollback 0; y
     config
     config confirmations false
     config colour red
     rollback 1
     exit"
    )
);

golden!(
    dry_run,
    transcript_with(
        Options { dry_run: true, ..Options::default() },
        &[],
        "House/Door> set openSeconds 2 code secret
     House/Door> set openSeconds 200
     House/Door> set openSeconds 10
     House/Door/Guests> add ann 1 true
     House/Keys> cutKey home /tmp/engraving
     House/Door> get
     rollback 0"
    )
);

golden!(
    json,
    transcript_with(
        Options { format: Format::Json, yes: true, ..Options::default() },
        &[],
        "House/Door
     set openSeconds 2 code secret
     get
     set openSeconds 200
     bogus
     Guests
     add ann 1 true remark x
     get
     get bob
     ADP_CLI/House/Keys> get
     ADP_CLI/House/Keys> get -e
     ADP_CLI/House/Keys> count
     diff 1 2
     help get
     exit"
    )
);

#[test]
fn revisions_are_listed_with_time_and_author() {
    let text =
        transcript("House/Door> set openSeconds 2\nHouse/Door> set openSeconds 3\nrevisions\nrevisions 1\n");
    let lines: Vec<&str> = text.lines().collect();
    let header = lines.iter().position(|line| line.trim_start().starts_with("Revision  Time")).unwrap();
    assert!(lines[header].ends_with("Change"), "{text}");
    assert!(lines[header + 1].chars().all(|letter| letter == '='));
    assert!(lines[header + 2].starts_with("         1  20"), "{text}");
    assert!(lines[header + 3].ends_with("ADP_CLI/House/Door"), "{text}");
    assert_eq!(lines[header + 5], "2 entries found.");
    assert_eq!(lines.last(), Some(&"1 entry found."));
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path(), &house(), Options::default());
    let mut script = Script { answers: ["from stdin"].into(), ..Script::default() };
    insta::assert_snapshot!(type_lines(
        &mut session,
        &mut script,
        "House/Door> set openSeconds 2
         rollback 0
         rollback 0; y
         House/Door> set code
         House/Door> set code
         House/Door> get
         exit"
    ));
}
