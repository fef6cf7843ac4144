//! Little-endian numbers from bytes that may lie.

/// Why bytes could not be read, as the end of a sentence.
pub(crate) type Why = String;

/// A place in a byte string. Nothing is ever read or allocated beyond its end.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Why> {
        if count > self.remaining() {
            return Err(format!("cut short at byte {}: {count} bytes needed, {} left", self.at, self.remaining()));
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Why> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Why> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Why> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Why> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Why> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count of things that take at least `least` bytes each: more than the rest can hold is refused before anything is allocated.
    pub(crate) fn count(&mut self, declared: u64, least: usize) -> Result<usize, Why> {
        let fits = self.remaining() / least.max(1);
        usize::try_from(declared)
            .ok()
            .filter(|&count| count <= fits)
            .ok_or_else(|| format!("{declared} entries are declared at byte {}, {fits} would fit in the rest", self.at))
    }

    /// Bytes up to and without the next `end`, which is skipped.
    pub(crate) fn line(&mut self, end: u8) -> Result<&'a [u8], Why> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|&byte| byte == end).ok_or_else(|| format!("cut short at byte {}", self.at))?;
        self.at += len + 1;
        Ok(&rest[..len])
    }
}
