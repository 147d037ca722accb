//! Whether a certificate is that of an authority. Reads only so much of X.509 (RFC 5280) as that takes: the verifier
//! takes each certificate that it is given for an authority, also that of a client.

const BOOLEAN: u8 = 0x01;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// The extensions of a certificate.
const EXTENSIONS: u8 = 0xa3;

const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];

const TRUE: &[u8] = &[0xff];
/// The sixth bit of a key usage.
const SIGNS_CERTIFICATES: u8 = 0b0000_0100;

/// Whether a certificate, DER, is marked as an authority, whose key may sign certificates.
pub(super) fn is_authority(certificate: &[u8]) -> bool {
    marks(certificate).is_some_and(|(is_ca, may_sign)| is_ca && may_sign)
}

fn marks(certificate: &[u8]) -> Option<(bool, bool)> {
    let mut signed = Der(Der(Der(certificate).element(SEQUENCE)?).element(SEQUENCE)?);
    let (mut is_ca, mut may_sign) = (false, true);
    let extensions = loop {
        if let (EXTENSIONS, found) = signed.next()? {
            break Der(found).element(SEQUENCE)?;
        }
    };
    let mut extensions = Der(extensions);
    while !extensions.0.is_empty() {
        let mut extension = Der(extensions.element(SEQUENCE)?);
        let id = extension.element(OBJECT_ID)?;
        let value = match extension.next()? {
            // Whether it is critical.
            (BOOLEAN, _) => extension.element(OCTET_STRING)?,
            (OCTET_STRING, value) => value,
            _ => return None,
        };
        match id {
            BASIC_CONSTRAINTS => {
                let first = Der(Der(value).element(SEQUENCE)?).next();
                is_ca = first == Some((BOOLEAN, TRUE));
            }
            KEY_USAGE => {
                // The first byte says how many bits are unused.
                let bits = Der(value).element(BIT_STRING)?.get(1).copied().unwrap_or_default();
                may_sign = bits & SIGNS_CERTIFICATES != 0;
            }
            _ => {}
        }
    }
    Some((is_ca, may_sign))
}

/// What is left of a list of elements.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    /// The next element: its tag and its content.
    fn next(&mut self) -> Option<(u8, &'d [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let mut len = usize::from(*first);
        if len >= 0x80 {
            let (bytes, after) = rest.split_at_checked(len - 0x80).filter(|(bytes, _)| bytes.len() <= 3)?;
            len = bytes.iter().fold(0, |len, byte| (len << 8) | usize::from(*byte));
            rest = after;
        }
        let (content, after) = rest.split_at_checked(len)?;
        self.0 = after;
        Some((*tag, content))
    }

    fn element(&mut self, tag: u8) -> Option<&'d [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

#[cfg(test)]
mod tests {
    use parlance_faults::{Authority, Certificate};
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    use super::*;

    fn der(path: &std::path::Path) -> Vec<u8> {
        CertificateDer::from_pem_file(path).unwrap().to_vec()
    }

    #[test]
    fn only_authorities_are_authorities() {
        let authority = Authority::new().unwrap();
        assert!(is_authority(&der(&authority.path())));
        assert!(!is_authority(&der(&authority.issue().unwrap().path())));
        assert!(!is_authority(&der(&Certificate::new().unwrap().path())));
        let mut other = der(&authority.path());
        // The key usage says that the key signs something else than certificates.
        let usage = other.windows(3).position(|id| id == KEY_USAGE).unwrap();
        let bits = usage + other[usage..].iter().position(|byte| *byte == BIT_STRING).unwrap() + 3;
        assert_eq!(other[bits], SIGNS_CERTIFICATES);
        other[bits] = 0x80;
        assert!(!is_authority(&other));
    }

    #[test]
    fn what_is_no_certificate_is_no_authority() {
        let authority = der(&Authority::new().unwrap().path());
        // The signature comes after all that is read.
        let whole = (0..authority.len()).filter(|len| is_authority(&authority[..*len])).count();
        assert_eq!(whole, 0);
        for wrong in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80", b"\x30\x02\x30\x00"] {
            assert!(!is_authority(wrong));
        }
    }
}
