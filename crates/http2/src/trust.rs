/// How far a peer is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Any client: limits apply.
    Bounded,
    /// A proxy of the operator, which passes on requests of many clients: limits on what one of them may do do not apply.
    Proxy,
    /// A member of the same fleet.
    Full,
}
