//! Who a client is. Anonymous for now: users and their secrets are checked here and nowhere else.

/// What a CONNECT packet brings to prove who sent it.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    /// The user name, if any.
    pub user: Option<&'a str>,
    /// The password, if any.
    pub password: Option<&'a [u8]>,
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The credentials are wrong.
    BadCredentials,
}

/// The authenticated user of a connection, `None` for an anonymous one.
///
/// As long as no users are configured a name proves nothing, so none is taken over: the source of
/// a price is then the client id.
///
/// # Errors
/// [`Denied`] when the credentials do not hold.
pub fn admit(_credentials: Credentials<'_>) -> Result<Option<Box<str>>, Denied> {
    Ok(None)
}
