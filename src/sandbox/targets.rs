//! Where a webhook may point: public HTTPS addresses only, unless loopback is switched on for tests.
//!
//! Decides only and opens nothing. Asked when a URL is given and again when its name has been resolved, because
//! a name can point elsewhere by then.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

const NOT_HTTPS: &str = "URL must use HTTPS";
const LOCALHOST: &str = "Localhost URLs are not allowed";
const PRIVATE: &str = "Private IP addresses are not allowed";
const LINK_LOCAL: &str = "Link-local addresses are not allowed";
const METADATA: &str = "Cloud metadata endpoints are not allowed";

/// Where clouds keep what their machines may know: by address and by name.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
const METADATA_NAMES: [&str; 3] = ["metadata.google.internal", "metadata", "instance-data"];

/// The URL in that text, if it is one.
pub(super) fn parse(text: &str) -> Result<Url, &'static str> {
    Url::parse(text).map_err(|_| "Invalid URL format")
}

/// Why the URL may not be called, in upstream's words; `None` if it may. With `loopback` this machine may be,
/// over plain HTTP too.
pub(super) fn refusal(url: &Url, loopback: bool) -> Option<&'static str> {
    let place = match url.host() {
        Some(Host::Domain(name)) => name_refusal(name),
        Some(Host::Ipv4(ip)) => v4_refusal(ip),
        Some(Host::Ipv6(ip)) => v6_refusal(ip),
        None => None,
    };
    if loopback && place == Some(LOCALHOST) && matches!(url.scheme(), "http" | "https") {
        return None;
    }
    if url.scheme() == "https" { place } else { Some(NOT_HTTPS) }
}

/// The same for an address that a name has led to.
pub(super) fn address_refusal(ip: IpAddr, loopback: bool) -> Option<&'static str> {
    let place = match ip {
        IpAddr::V4(ip) => v4_refusal(ip),
        IpAddr::V6(ip) => v6_refusal(ip),
    };
    place.filter(|place| !(loopback && *place == LOCALHOST))
}

fn name_refusal(name: &str) -> Option<&'static str> {
    let name = name.trim_end_matches('.');
    if name == "localhost" || name.ends_with(".localhost") {
        Some(LOCALHOST)
    } else {
        METADATA_NAMES.contains(&name).then_some(METADATA)
    }
}

fn v4_refusal(ip: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = ip.octets();
    if METADATA_V4.contains(&ip) {
        Some(METADATA)
    } else if ip.is_loopback() || ip.is_unspecified() {
        Some(LOCALHOST)
    } else if ip.is_link_local() {
        Some(LINK_LOCAL)
    } else {
        let reserved =
            matches!((a, b, c), (0 | 224..=255, ..) | (100, 64..=127, _) | (192, 0, 0) | (198, 18 | 19, _));
        (reserved || ip.is_private() || ip.is_documentation()).then_some(PRIVATE)
    }
}

fn v6_refusal(ip: Ipv6Addr) -> Option<&'static str> {
    if ip == METADATA_V6 {
        Some(METADATA)
    } else if ip.is_loopback() || ip.is_unspecified() {
        Some(LOCALHOST)
    } else if let Some(inner) = embedded(ip) {
        v4_refusal(inner)
    } else if ip.is_unicast_link_local() {
        Some(LINK_LOCAL)
    } else {
        let [a, b, ..] = ip.segments();
        let reserved = a & 0xffc0 == 0xfec0 || (a, b) == (0x2001, 0xdb8);
        (reserved || ip.is_unique_local() || ip.is_multicast()).then_some(PRIVATE)
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64, 6to4.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_called_and_what_not() {
        #[rustfmt::skip]
        let cases = [
            ("https://hooks.example.com/in?x=1", None),
            ("https://8.8.8.8:8443/", None),
            ("https://[2606:4700::1111]/", None),
            ("http://hooks.example.com/", Some(NOT_HTTPS)),
            ("http://localhost/", Some(NOT_HTTPS)),
            ("ftp://hooks.example.com/", Some(NOT_HTTPS)),
            ("mailto:ann@example.com", Some(NOT_HTTPS)),
            ("https://localhost/", Some(LOCALHOST)),
            ("https://LOCALHOST./", Some(LOCALHOST)),
            ("https://app.localhost:3000/", Some(LOCALHOST)),
            ("https://127.0.0.1/", Some(LOCALHOST)),
            // The same address, spelt to slip through.
            ("https://2130706433/", Some(LOCALHOST)),
            ("https://0x7f.1/", Some(LOCALHOST)),
            ("https://0/", Some(LOCALHOST)),
            ("https://[::1]/", Some(LOCALHOST)),
            ("https://[::]/", Some(LOCALHOST)),
            ("https://[::ffff:127.0.0.1]/", Some(LOCALHOST)),
            ("https://[64:ff9b::7f00:1]/", Some(LOCALHOST)),
            ("https://10.0.0.1/", Some(PRIVATE)),
            ("https://172.31.255.255/", Some(PRIVATE)),
            ("https://172.32.0.1/", None),
            ("https://192.168.1.1/", Some(PRIVATE)),
            ("https://100.64.0.1/", Some(PRIVATE)),
            ("https://198.18.0.1/", Some(PRIVATE)),
            ("https://203.0.113.9/", Some(PRIVATE)),
            ("https://224.0.0.1/", Some(PRIVATE)),
            ("https://[fd12:3456::1]/", Some(PRIVATE)),
            ("https://[ff02::1]/", Some(PRIVATE)),
            ("https://[2002:a00:1::]/", Some(PRIVATE)),
            ("https://169.254.1.1/", Some(LINK_LOCAL)),
            ("https://[fe80::1]/", Some(LINK_LOCAL)),
            ("https://169.254.169.254/latest/meta-data", Some(METADATA)),
            ("https://[::ffff:169.254.169.254]/", Some(METADATA)),
            ("https://[fd00:ec2::254]/", Some(METADATA)),
            ("https://metadata.google.internal/", Some(METADATA)),
            ("https://100.100.100.200/", Some(METADATA)),
        ];
        for (text, refused) in cases {
            let url = parse(text).expect("a URL");
            assert_eq!(refusal(&url, false), refused, "{text}");
            let spared =
                if refused == Some(LOCALHOST) || text == "http://localhost/" { None } else { refused };
            assert_eq!(refusal(&url, true), spared, "{text} with loopback");
        }
        for text in ["", "hooks.example.com", "https://", "/in", "https://exa mple.com/"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(address_refusal(IpAddr::from([127, 0, 0, 1]), false), Some(LOCALHOST));
        assert_eq!(address_refusal(IpAddr::from([127, 0, 0, 1]), true), None);
        assert_eq!(address_refusal(IpAddr::from([10, 0, 0, 1]), true), Some(PRIVATE));
    }
}
