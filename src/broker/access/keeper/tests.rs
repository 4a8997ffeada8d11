use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use ringmq_rules::acl::accounts::PlainAccessConfig;

use super::*;

const FILE: &str = "accounts:\n- accessKey: RocketMQ\n  secretKey: 12345678\n";

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("ringmq-acl-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("acl/more")).expect("a directory");
        Place(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the directory can be written");
    }

    fn open(&self) -> Result<(Keeper, AccessRules), String> {
        Keeper::open(AclFiles::new(&self.path("plain_acl.yml"), &self.path("acl")))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn account(key: &str) -> AccessChange {
    AccessChange::Account(Box::new(PlainAccessConfig {
        access_key: key.to_owned(),
        secret_key: "87654321".to_owned(),
        ..PlainAccessConfig::default()
    }))
}

#[test]
fn files_are_found_as_in_rocketmq() {
    let place = Place::new("found");
    let none = place.open().err().expect("no file");
    assert!(none.contains("there is no file with accounts, neither"), "{none}");
    assert!(none.contains("set aclFile"), "{none}");
    place.write("plain_acl.yml", FILE);
    let other = |key: &str| FILE.replace("RocketMQ", key);
    place.write("acl/b.yml", &other("second-one"));
    place.write("acl/more/c.yaml", &other("third-one"));
    place.write("acl/tools.yml", "accessKey: RocketMQ\nsecretKey: 12345678\n");
    place.write("acl/notes.txt", "no accounts");
    place.write("acl/.hidden.yml", "- broken");
    let (_, rules) = place.open().expect("sound");
    assert_eq!((rules.accounts(), rules.versions.len()), (3, 3));
}

#[test]
fn what_is_broken_or_too_much_names_the_file_the_line_and_the_remedy() {
    let place = Place::new("broken");
    place.write("plain_acl.yml", &[FILE, "  admin: perhaps\n"].concat());
    let why = place.open().err().expect("broken");
    assert!(why.contains("plain_acl.yml, line 4: admin has to be true or false"), "{why}");
    place.write("plain_acl.yml", &"#".repeat(FILES_BYTES_MAX as usize + 1));
    let why = place.open().err().expect("too long");
    assert!(why.contains("more than 1048576 bytes: take accounts out"), "{why}");
    fs::write(place.path("plain_acl.yml"), b"accounts: \xff").expect("written");
    let why = place.open().err().expect("no text");
    assert!(why.contains("no UTF-8 text at byte 10"), "{why}");
}

#[test]
fn changes_are_noticed_when_they_are_done_and_what_is_broken_is_not_taken() {
    let place = Place::new("noticed");
    place.write("plain_acl.yml", FILE);
    let (mut keeper, _) = place.open().expect("sound");
    assert!(keeper.look().is_none());
    place.write("acl/more.yml", &FILE.replace("RocketMQ", "another"));
    assert!(keeper.look().is_none(), "whoever writes it may not be done");
    assert_eq!(keeper.look().map(|rules| rules.accounts()), Some(2));
    assert!(keeper.look().is_none());
    place.write("acl/more.yml", "accounts: [");
    assert!(keeper.look().is_none() && keeper.look().is_none());
    assert!(keeper.look().is_none(), "said once");
    fs::remove_file(place.path("acl/more.yml")).expect("it was there");
    assert!(keeper.look().is_none());
    assert_eq!(keeper.look().map(|rules| rules.accounts()), Some(1));
}

#[test]
fn administrators_change_the_file_that_has_the_account() {
    let place = Place::new("change");
    place.write("acl/b.yml", &FILE.replace("RocketMQ", "second-one"));
    let (mut keeper, _) = place.open().expect("sound");
    let changed = |keeper: &mut Keeper, change| {
        keeper.change(&change).expect("it can be done").map(|rules| rules.accounts())
    };
    assert_eq!(changed(&mut keeper, account("second-one")), Some(1));
    let text = |name: &str| fs::read_to_string(place.path(name)).expect("a file");
    assert!(text("acl/b.yml").contains("secretKey: '87654321'"), "{}", text("acl/b.yml"));
    // A new account goes into the file of its own name, readable for nobody else.
    assert_eq!(changed(&mut keeper, account("another")), Some(2));
    let mode = |name: &str| fs::metadata(place.path(name)).expect("a file").permissions().mode();
    assert_eq!(mode("plain_acl.yml") & 0o777, 0o600);
    assert!(!place.path("plain_acl.yml.tmp").exists());
    assert!(keeper.look().is_none(), "its own change is known already");
    let removal = |key: &str| AccessChange::Removal { access_key: key.to_owned() };
    assert_eq!(changed(&mut keeper, removal("nobody-here")), None);
    assert_eq!(changed(&mut keeper, removal("another")), Some(1));
    let white = |file: Option<PathBuf>| AccessChange::WhiteAddresses {
        addresses: vec!["10.0.0.1".to_owned()],
        file: file.map(|path| path.display().to_string()),
    };
    assert_eq!(changed(&mut keeper, white(None)), Some(1));
    assert_eq!(changed(&mut keeper, white(Some(place.path("acl/b.yml")))), Some(1));
    assert_eq!(changed(&mut keeper, white(Some("/etc/passwd".into()))), None);
    assert!(text("plain_acl.yml").contains("counter: 3"), "{}", text("plain_acl.yml"));
    let wrong = AccessChange::WhiteAddresses { addresses: vec!["x".to_owned()], file: None };
    assert!(keeper.change(&wrong).expect_err("wrong").contains("\"x\" is no address"));
}

#[test]
fn a_link_goes_on_leading_where_it_led_and_who_may_read_stays() {
    let place = Place::new("link");
    place.write("acl/more/real", FILE);
    let mode = fs::Permissions::from_mode(0o640);
    fs::set_permissions(place.path("acl/more/real"), mode).expect("own file");
    symlink(Path::new("acl/more/real"), place.path("plain_acl.yml")).expect("a link");
    let (mut keeper, _) = place.open().expect("sound");
    assert!(keeper.change(&account("another")).is_ok_and(|rules| rules.is_some()));
    let link = fs::symlink_metadata(place.path("plain_acl.yml")).expect("there");
    assert!(link.file_type().is_symlink());
    let real = fs::metadata(place.path("acl/more/real")).expect("there");
    assert_eq!(real.permissions().mode() & 0o777, 0o640);
    assert!(fs::read_to_string(place.path("acl/more/real")).expect("text").contains("another"));
}
