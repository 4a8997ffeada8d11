use super::*;

#[test]
fn numbers_are_read_as_java_reads_them() {
    assert_eq!(u16::parse("+10911"), Ok(10911));
    assert_eq!(i64::parse("-1"), Ok(-1));
    assert!(u32::parse("1024 * 1024").is_err());
    assert!(u16::parse("70000").is_err());
    assert!(u32::parse("0x10").is_err());
}

#[test]
fn booleans_are_read_as_java_reads_them_and_odd_ones_are_noted() {
    assert_eq!(bool::read("TRUE", Limits::Any), Ok((true, None)));
    assert_eq!(bool::read("False", Limits::Any), Ok((false, None)));
    for odd in ["yes", "1", "on", ""] {
        let (value, note) = bool::read(odd, Limits::Any).expect("Java takes it");
        assert!(!value && note.is_some_and(|note| note.contains("neither")), "{odd}");
    }
}

#[test]
fn numbers_are_clamped_only_where_java_takes_them() {
    let limits = Limits::Clamp(10, 95);
    assert_eq!(u32::read("75", limits), Ok((75, None)));
    for (text, taken) in [("100", 95), ("-3", 10), ("9999999999", 95)] {
        let (value, note) = u32::read(text, limits).expect("Java takes it");
        assert_eq!(value, taken);
        assert_eq!(note.as_deref(), Some(&*format!("is out of range, 10 to 95: it is {taken}")));
    }
    assert!(u32::read("75 %", limits).is_err(), "Java does not take it either");
    assert!(u16::read("70000", Limits::Number(0, 65_535)).is_err());
}

#[test]
fn home_is_expanded_only_as_a_whole_first_part() {
    let home = Path::new("/home/user");
    for text in ["~/store", "${user.home}/store", "${HOME}/store", "$HOME/store"] {
        assert_eq!(expand_home(text, Some(home)), PathBuf::from("/home/user/store"));
    }
    assert_eq!(expand_home("~", Some(home)), PathBuf::from("/home/user"));
    assert_eq!(expand_home("~other/x", Some(home)), PathBuf::from("~other/x"));
    assert_eq!(expand_home("~/x", None), PathBuf::from("~/x"));
}

#[test]
fn addresses_need_a_port() {
    let list = AddressList::parse("[::1]:9876").expect("valid");
    assert_eq!(list.0, ["[::1]:9876"]);
    let list = AddressList::parse("10.0.0.1:9876; ns.example:9876;").expect("valid");
    assert_eq!(list.0, ["10.0.0.1:9876", "ns.example:9876"]);
    assert_eq!(list.print(), "10.0.0.1:9876;ns.example:9876");
    assert!(AddressList::parse("10.0.0.1").is_err());
    assert!(AddressList::parse("10.0.0.1:0").is_err());
    assert_eq!(AddressList::parse(""), Ok(AddressList::default()));
}

#[test]
fn an_address_to_listen_on_is_an_address_or_a_name() {
    let read = |text: &str| IpAddr::parse(text).map(|address| address.to_string());
    assert_eq!(read("0.0.0.0").as_deref(), Ok("0.0.0.0"));
    assert_eq!(read("::").as_deref(), Ok("::"));
    assert_eq!(read("[::1]").as_deref(), Ok("::1"));
    assert!(IpAddr::parse("localhost").is_ok_and(|address| address.is_loopback()));
    assert!(IpAddr::parse("").is_err());
    assert!(IpAddr::parse("no such host").is_err());
}

#[test]
fn cores_are_lists_and_ranges() {
    assert_eq!(CoreList::parse("0-2, 5"), Ok(CoreList(vec![0, 1, 2, 5])));
    assert_eq!(CoreList::parse(""), Ok(CoreList::default()));
    for bad in ["1,1", "2-1", "a", "1-", "99999"] {
        assert!(CoreList::parse(bad).is_err(), "{bad}");
    }
}
