//! Where a key may be used from: single addresses and networks in CIDR form, of both IP versions.

use crate::domain::Invalid;
use core::net::IpAddr;
use ipnet::{IpNet, Ipv4Net};

/// Most entries of one list; a longer one is a job for a firewall.
pub const ADDRESSES_MAX: usize = 64;
/// An IPv6 network at least this long may be one of IPv4-mapped addresses (`::ffff:0:0/96`).
const MAPPED: u8 = 96;

/// A list of networks; an empty one is everywhere. Stored as text with spaces between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(Vec<IpNet>);

impl Addresses {
    /// Reads addresses and networks with spaces, commas or lines between, in any order and more than once.
    ///
    /// # Errors
    /// For what is neither, for an address with the length of a network behind it, and for too many.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let words = text.split(|c: char| c.is_whitespace() || c == ',' || c == ';').filter(|w| !w.is_empty());
        let mut networks = words.map(network).collect::<Result<Vec<_>, _>>()?;
        networks.sort();
        networks.dedup();
        if networks.len() > ADDRESSES_MAX {
            return Err(wrong(format!("At most {ADDRESSES_MAX} addresses and networks")));
        }
        Ok(Self(networks))
    }

    /// Whether a caller from there is let in. An IPv4 address is the same in IPv6 clothes.
    pub fn allow(&self, from: IpAddr) -> bool {
        let from = from.to_canonical();
        self.0.is_empty() || self.0.iter().any(|network| network.contains(&from))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As people write them: `192.0.2.7`, `10.0.0.0/8`.
    pub fn words(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|network| match network.prefix_len() == network.max_prefix_len() {
            true => network.addr().to_string(),
            false => network.to_string(),
        })
    }
}

impl std::fmt::Display for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words().collect::<Vec<_>>().join(" "))
    }
}

fn network(word: &str) -> Result<IpNet, Invalid> {
    if let Ok(address) = word.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let shown: String = word.chars().take(50).collect();
    // Both halves as strictly as an address alone: `010.0.0.0/8` is another network to some readers.
    let parts = word.split_once('/').filter(|(_, length)| length.bytes().all(|b| b.is_ascii_digit()));
    let parsed =
        parts.and_then(|(address, length)| IpNet::new(address.parse().ok()?, length.parse().ok()?).ok());
    let Some(network) = parsed else {
        return Err(wrong(format!(
            "{shown} is neither an address nor a network such as 192.0.2.0/24 or 2001:db8::/32"
        )));
    };
    // Two things could be meant, and one of them lets 255 strangers in.
    if network.addr() != network.network() {
        return Err(wrong(format!(
            "{shown}: write {} for this address alone, or {} for its network",
            network.addr(),
            network.trunc()
        )));
    }
    Ok(match network {
        IpNet::V6(six) if six.prefix_len() >= MAPPED => match six.addr().to_ipv4_mapped() {
            Some(four) => Ipv4Net::new(four, six.prefix_len() - MAPPED).map_or(network, IpNet::V4),
            None => network,
        },
        _ => network,
    })
}

fn wrong(reason: String) -> Invalid {
    Invalid::new("addresses", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &str, from: &str) -> bool {
        Addresses::parse(list).unwrap().allow(from.parse().unwrap())
    }

    #[test]
    fn an_empty_list_is_everywhere() {
        for list in ["", "  \n, ;"] {
            assert!(allows(list, "192.0.2.1") && allows(list, "2001:db8::1"), "{list:?}");
        }
    }

    #[test]
    fn networks_hold_what_is_in_them_and_nothing_else() {
        for (list, inside, outside) in [
            ("192.0.2.7", &["192.0.2.7", "::ffff:192.0.2.7"][..], &["192.0.2.6", "::192.0.2.7", "::1"][..]),
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
                &["11.0.0.0", "9.255.255.255"],
            ),
            ("192.0.2.128/25", &["192.0.2.128", "192.0.2.255"], &["192.0.2.127", "192.0.3.128"]),
            ("2001:db8::/32", &["2001:db8::1", "2001:db8:ffff::"], &["2001:db9::1", "32.1.13.184"]),
            ("::1", &["::1"], &["127.0.0.1", "::2"]),
            ("::ffff:10.0.0.0/104", &["10.9.9.9", "::ffff:10.9.9.9"], &["11.0.0.1", "::10.9.9.9"]),
            ("::ffff:192.0.2.7", &["192.0.2.7"], &["192.0.2.8"]),
            ("0.0.0.0/0", &["198.51.100.1", "::ffff:198.51.100.1"], &["::1", "2001:db8::1"]),
            ("::/0", &["::1", "2001:db8::1"], &["198.51.100.1", "::ffff:198.51.100.1"]),
            ("192.0.2.7, 10.0.0.0/8\n::1", &["192.0.2.7", "10.0.0.1", "::1"], &["192.0.2.8", "::2"]),
        ] {
            for from in inside {
                assert!(allows(list, from), "{from} is in {list}");
            }
            for from in outside {
                assert!(!allows(list, from), "{from} is not in {list}");
            }
        }
    }

    #[test]
    fn what_is_stored_reads_the_same_again() {
        let list =
            Addresses::parse("2001:db8::/32,10.0.0.0/8;192.0.2.7 10.0.0.0/8\n::ffff:192.0.2.7").unwrap();
        assert_eq!(list.to_string(), "10.0.0.0/8 192.0.2.7 2001:db8::/32");
        assert_eq!(Addresses::parse(&list.to_string()).unwrap(), list);
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        let reason = |list: &str| Addresses::parse(list).unwrap_err().reason;
        assert_eq!(
            reason("10.0.0.5/24"),
            "10.0.0.5/24: write 10.0.0.5 for this address alone, or 10.0.0.0/24 for its network"
        );
        for list in [
            "10.0.0",
            "10.0.0.1/33",
            "2001:db8::/129",
            "host.example",
            "10.0.0.1-10.0.0.9",
            "010.0.0.1",
            "010.0.0.0/8",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "/8",
            "1/2",
        ] {
            assert!(reason(list).contains("is neither an address nor a network"), "{list}");
        }
        let many = |n: usize| (0..n).map(|n| format!("10.0.{n}.0/24 ")).collect::<String>();
        assert!(Addresses::parse(&many(ADDRESSES_MAX)).is_ok());
        assert!(reason(&many(ADDRESSES_MAX + 1)).contains("At most 64"));
    }
}
