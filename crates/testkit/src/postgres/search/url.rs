//! URLs of databases, as far as tests take them apart.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::{fmt, io};

use super::program::PATIENCE;

/// The request for TLS, which every server answers by one letter.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The URL of a PostgreSQL server, with or without a database.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    scheme: String,
    credentials: Option<String>,
    hosts: String,
    database: String,
    parameters: Option<String>,
}

impl ServerUrl {
    /// Takes a URL apart; `None` if it is not one of PostgreSQL.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return None;
        }
        let (rest, parameters) = split(rest, '?');
        let (authority, database) = split(rest, '/');
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials.to_owned()), hosts),
            None => (None, authority),
        };
        Some(Self {
            scheme: scheme.to_owned(),
            credentials,
            hosts: hosts.to_owned(),
            database: database.unwrap_or_default().to_owned(),
            parameters: parameters.map(str::to_owned),
        })
    }

    /// The same server, but this database.
    pub fn with_database(&self, name: &str) -> Self {
        Self {
            database: encode(name),
            ..self.clone()
        }
    }

    /// The same, but as this role.
    pub fn with_role(&self, role: &str, password: &str) -> Self {
        Self {
            credentials: Some(format!("{}:{}", encode(role), encode(password))),
            ..self.clone()
        }
    }

    /// The same, but at this port of the loopback interface.
    pub fn with_port(&self, port: u16) -> Self {
        Self {
            hosts: format!("127.0.0.1:{port}"),
            parameters: None,
            ..self.clone()
        }
    }

    /// The database's name.
    pub fn database(&self) -> String {
        decode(&self.database)
    }

    /// The role and its password.
    pub fn role(&self) -> (String, String) {
        let credentials = self.credentials.as_deref().unwrap_or_default();
        let (role, password) = split(credentials, ':');
        (decode(role), decode(password.unwrap_or_default()))
    }

    /// Its first host, which may be a folder of sockets, and its port.
    pub fn host(&self) -> (String, u16) {
        let first = self.hosts.split(',').next().unwrap_or_default();
        let (host, port) = match first.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (first, None),
        };
        let host = Some(decode(host.trim_matches(['[', ']']))).filter(|host| !host.is_empty());
        let host = host.or_else(|| self.parameter("host"));
        let port = port.or_else(|| self.parameter("port")?.parse().ok());
        (
            host.unwrap_or_else(|| "localhost".into()),
            port.unwrap_or(5432),
        )
    }

    /// Whether a PostgreSQL server is there.
    pub fn answers(&self) -> bool {
        let (host, port) = self.host();
        let asked = match host.strip_prefix('/') {
            Some(_) => ask_socket(&format!("{host}/.s.PGSQL.{port}")),
            None => ask_port(&host, port),
        };
        matches!(asked, Ok(b'S' | b'N'))
    }

    /// Whether it insists on an encrypted connection.
    pub fn wants_tls(&self) -> bool {
        let mode = self.parameter("sslmode").unwrap_or_default();
        mode == "require" || mode.starts_with("verify-")
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let mut parameters = self.parameters.as_deref()?.split('&');
        let found = parameters.find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
        found.map(decode)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(credentials) = &self.credentials {
            write!(f, "{credentials}@")?;
        }
        write!(f, "{}/{}", self.hosts, self.database)?;
        match &self.parameters {
            Some(parameters) => write!(f, "?{parameters}"),
            None => Ok(()),
        }
    }
}

/// Without the credentials.
impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.scheme, self.hosts, self.database)
    }
}

fn ask_port(host: &str, port: u16) -> io::Result<u8> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                return ask(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn ask_socket(path: &str) -> io::Result<u8> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    ask(stream)
}

fn ask(mut stream: impl Read + Write) -> io::Result<u8> {
    stream.write_all(&SSL_REQUEST)?;
    let mut letter = [0];
    stream.read_exact(&mut letter)?;
    Ok(letter[0])
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                encoded.push(byte.into());
            }
            byte => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

fn decode(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| first == b'%');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        decoded.push(code.unwrap_or(first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ServerUrl {
        ServerUrl::parse(text).unwrap()
    }

    #[test]
    fn a_database_takes_the_place_of_another() {
        let given = url("postgres://ann:s%20c@db.example:6000/app?sslmode=prefer");
        assert_eq!(
            given.with_database("a b").to_string(),
            "postgres://ann:s%20c@db.example:6000/a%20b?sslmode=prefer"
        );
        assert_eq!(given.role(), ("ann".into(), "s c".into()));
        assert_eq!(given.host(), ("db.example".into(), 6000));
        let bare = url("postgresql://localhost").with_database("x");
        assert_eq!(bare.to_string(), "postgresql://localhost/x");
    }

    #[test]
    fn a_role_takes_the_place_of_another() {
        let other = url("postgres://127.0.0.1:1/x").with_role("bob", "p@ss/");
        assert_eq!(other.to_string(), "postgres://bob:p%40ss%2F@127.0.0.1:1/x");
        assert_eq!(other.role(), ("bob".into(), "p@ss/".into()));
        assert!(!format!("{other:?}").contains("ss"));
    }

    #[test]
    fn hosts_may_be_sockets_lists_and_addresses() {
        let host = |text| url(text).host();
        let sockets = ("/var/run/pg".to_owned(), 5432);
        assert_eq!(host("postgres:///x?host=/var/run/pg"), sockets);
        assert_eq!(host("postgres://%2Fvar%2Frun%2Fpg/x"), sockets);
        assert_eq!(host("postgres://[::1]:7/x"), ("::1".into(), 7));
        assert_eq!(host("postgres://[::1]/x"), ("::1".into(), 5432));
        assert_eq!(host("postgres://a:1,b:2/x"), ("a".into(), 1));
    }

    #[test]
    fn what_insists_on_tls_is_known() {
        assert!(url("postgres://h/x?a=b&sslmode=require").wants_tls());
        assert!(url("postgres://h/x?sslmode=verify-full").wants_tls());
        assert!(!url("postgres://h/x?sslmode=prefer").wants_tls());
        assert!(ServerUrl::parse("sqlite://x").is_none());
    }

    #[test]
    fn nothing_answers_where_nobody_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert!(!url(&format!("postgres://127.0.0.1:{port}/x")).answers());
        assert!(!url("postgres:///x?host=/no/such/folder").answers());
    }
}
