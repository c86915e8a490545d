//! Addresses of things on the network: `scheme://[user:password@]host[:port]/path`.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// An address in its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Url {
    /// Before `://`.
    pub scheme: &'static str,
    /// `user:password`, as it stands there.
    pub login: Option<String>,
    /// A name, or an address, `[…]` around one of IPv6.
    pub host: String,
    /// Said, or the scheme's own.
    pub port: u16,
    /// With what follows `?`; `/` at least.
    pub path: String,
}

impl Url {
    /// Reads an address of one of these schemes, each with its port. An error does not show the login.
    pub fn parse(url: &str, schemes: &[(&'static str, u16)]) -> Result<Self, String> {
        let (start, rest) = url.split_once("://").unwrap_or(("", url));
        let shown = format!("{start}://{}", rest.rsplit_once('@').map_or(rest, |(_, address)| address));
        let bad = |why: &str| format!("{shown}: {why}");
        let Some(&(scheme, own_port)) = schemes.iter().find(|(scheme, _)| *scheme == start) else {
            let known: Vec<String> = schemes.iter().map(|(scheme, _)| format!("{scheme}://")).collect();
            return Err(bad(&format!("only {} is understood", known.join(" or "))));
        };
        if rest.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(bad("blanks or control characters"));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path = if path.starts_with('/') { path.into() } else { format!("/{path}") };
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(login.to_string()), address),
            None => (None, authority),
        };
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| bad("the port is no number"))?)
            }
            _ => (address, own_port),
        };
        if host.is_empty() {
            return Err(bad("no host"));
        }
        Ok(Self { scheme, login, host: host.into(), port, path })
    }

    /// The host as a resolver wants it.
    pub fn name(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Without its login.
    pub fn shown(&self) -> String {
        format!("{}://{}:{}{}", self.scheme, self.host, self.port, self.path)
    }

    /// Connects, trying each of the host's addresses for so long.
    pub fn connect(&self, patience: Duration) -> std::io::Result<TcpStream> {
        let mut problem = std::io::ErrorKind::NotFound.into();
        for address in (self.name(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, patience) {
                Ok(stream) => return Ok(stream),
                Err(e) => problem = e,
            }
        }
        Err(problem)
    }

    /// The line of an HTTP request that brings the login; empty without one.
    pub fn authorization(&self) -> String {
        let basic = |login: &String| format!("Authorization: Basic {}\r\n", base64(login.as_bytes()));
        self.login.as_ref().map_or(String::new(), basic)
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let n = three.iter().fold(0, |n, &b| n << 8 | u32::from(b)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let digit = DIGITS[(n >> (18 - 6 * i)) as usize % 64];
            text.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let schemes = [("http", 80), ("https", 443)];
        let parse = |text| Url::parse(text, &schemes);
        let url = |login: Option<&str>, host: &str, port, path: &str| {
            let (login, host, path) = (login.map(Into::into), host.into(), path.into());
            Ok(Url { scheme: "http", login, host, port, path })
        };
        assert_eq!(parse("http://cam"), url(None, "cam", 80, "/"));
        assert_eq!(parse("http://a:b@cam:81/x/y"), url(Some("a:b"), "cam", 81, "/x/y"));
        assert_eq!(parse("http://[::1]:81?q"), url(None, "[::1]", 81, "/?q"));
        assert_eq!(parse("http://[::1]"), url(None, "[::1]", 80, "/"));
        assert_eq!(parse("http://[::1]").unwrap().name(), "::1");
        assert_eq!(parse("https://me:secret@cam").unwrap().shown(), "https://cam:443/");
        for bad in ["rtsp://cam/", "cam", "http://", "http://cam:x/", "http://cam/a b", "http://cam/\r\nX: y"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(!parse("http://me:secret@cam:x/").unwrap_err().contains("secret"));
        assert_eq!(base64(b"a"), "YQ==");
        assert_eq!(base64(b"abc"), "YWJj");
    }
}
