//! Bodies written and read by the rules of PROTOCOL.md alone, as a client in another language
//! would.
//!
//! Nothing here knows rkyv or the types of the crate. The shapes come out of the document's own
//! table, so what the document says is what is compared with the encoder.

/// A row of the document's table of shapes.
#[derive(Clone, Debug)]
pub(crate) struct DocumentedShape {
    pub(crate) size: usize,
    pub(crate) align: usize,
    pub(crate) fields: Vec<DocumentedField>,
}

/// One field of a root.
#[derive(Clone, Debug)]
pub(crate) struct DocumentedField {
    pub(crate) offset: usize,
    pub(crate) kind: String,
    pub(crate) name: String,
    /// The shape of the items, where they have one of their own.
    pub(crate) items: Option<DocumentedShape>,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Unsigned(u64),
    Wide(u128),
    Maybe(Option<u64>),
    Signed(i64),
    Bool(bool),
    Bytes(Vec<u8>),
    /// Tag, and the numbers as they lie in the frame.
    Elements(u8, Vec<u8>),
    Shorts(Vec<u16>),
    Words(Vec<u32>),
    Longs(Vec<u64>),
    Text(String),
    Texts(Vec<String>),
    /// The fields of each item.
    Shapes(Vec<Vec<Value>>),
}

/// Size and alignment of a field of this kind in the root.
pub(crate) fn layout(kind: &str) -> (usize, usize) {
    match kind {
        "bool" | "u8" => (1, 1),
        "u16" => (2, 2),
        "u32" => (4, 4),
        "u64" | "i64" => (8, 8),
        "u128" => (16, 16),
        "u64?" => (16, 8),
        "elements" => (12, 4),
        "bytes" | "string" | "u16[]" | "u32[]" | "u64[]" | "string[]" => (8, 4),
        "Holder[]" | "MemberStatus[]" | "MonitoredRequest[]" | "ShardStatus[]" => (8, 4),
        _ => panic!("the document uses the kind {kind} without saying what it is"),
    }
}

fn element_bytes(tag: u8) -> usize {
    if tag == 1 { 4 } else { 8 }
}

/// Strings up to this long lie in their own eight bytes.
const INLINE_MAX: usize = 8;

pub(crate) fn encode(shape: &DocumentedShape, values: &[Value]) -> Vec<u8> {
    let mut body = Vec::new();
    // The data first, field by field …
    let data = put_all_data(&mut body, shape, values);
    // … then the root, which ends the body.
    align(&mut body, shape.align);
    put_fields(&mut body, shape, values, &data);
    body
}

fn put_all_data(body: &mut Vec<u8>, shape: &DocumentedShape, values: &[Value]) -> Vec<usize> {
    assert_eq!(shape.fields.len(), values.len());
    shape.fields.iter().zip(values).map(|(field, value)| put_data(body, field, value)).collect()
}

/// Appends the fields themselves, which refer to data further ahead.
fn put_fields(body: &mut Vec<u8>, shape: &DocumentedShape, values: &[Value], data: &[usize]) {
    let root = body.len();
    body.resize(root + shape.size, 0);
    for ((field, value), data) in shape.fields.iter().zip(values).zip(data) {
        let at = root + field.offset;
        let bytes: Vec<u8> = match value {
            Value::Unsigned(number) => number.to_le_bytes()[..layout(&field.kind).0].to_vec(),
            Value::Signed(number) => number.to_le_bytes().to_vec(),
            Value::Wide(number) => number.to_le_bytes().to_vec(),
            Value::Maybe(None) => vec![0; 16],
            Value::Maybe(Some(number)) => [1_u64.to_le_bytes(), number.to_le_bytes()].concat(),
            Value::Bool(value) => vec![u8::from(*value)],
            Value::Bytes(bytes) => reference(at, *data, bytes.len()).to_vec(),
            Value::Shorts(shorts) => reference(at, *data, shorts.len()).to_vec(),
            Value::Words(words) => reference(at, *data, words.len()).to_vec(),
            Value::Longs(longs) => reference(at, *data, longs.len()).to_vec(),
            Value::Texts(texts) => reference(at, *data, texts.len()).to_vec(),
            Value::Shapes(items) => reference(at, *data, items.len()).to_vec(),
            Value::Text(text) => string(at, *data, text).to_vec(),
            Value::Elements(tag, numbers) => {
                let count = numbers.len() / element_bytes(*tag);
                [&[*tag, 0, 0, 0][..], &reference(at + 4, *data, count)].concat()
            }
        };
        body[at..at + bytes.len()].copy_from_slice(&bytes);
    }
}

/// Appends what a field refers to and says where it is.
fn put_data(body: &mut Vec<u8>, field: &DocumentedField, value: &Value) -> usize {
    let mut put = |alignment, bytes: &[u8]| {
        align(body, alignment);
        body.extend_from_slice(bytes);
        body.len() - bytes.len()
    };
    match value {
        Value::Unsigned(_) | Value::Signed(_) | Value::Bool(_) => 0,
        Value::Wide(_) | Value::Maybe(_) => 0,
        Value::Bytes(bytes) => put(1, bytes),
        Value::Elements(tag, numbers) => put(element_bytes(*tag), numbers),
        Value::Shorts(shorts) => {
            let bytes: Vec<u8> = shorts.iter().flat_map(|short| short.to_le_bytes()).collect();
            put(2, &bytes)
        }
        Value::Words(words) => {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            put(4, &bytes)
        }
        Value::Longs(longs) => {
            let bytes: Vec<u8> = longs.iter().flat_map(|long| long.to_le_bytes()).collect();
            put(8, &bytes)
        }
        Value::Text(text) if text.len() <= INLINE_MAX => 0,
        Value::Text(text) => put(1, text.as_bytes()),
        Value::Texts(texts) => {
            // The long strings, then the eight bytes of each.
            let mut data = vec![0; texts.len()];
            for (text, data) in texts.iter().zip(&mut data) {
                if text.len() > INLINE_MAX {
                    *data = put(1, text.as_bytes());
                }
            }
            let first = put(4, &[]);
            for (text, data) in texts.iter().zip(data) {
                let at = body.len();
                body.extend_from_slice(&string(at, data, text));
            }
            first
        }
        Value::Shapes(items) => {
            // What the items refer to, then the items.
            let shape = field.items.as_ref().expect("items have a shape");
            let data: Vec<_> =
                items.iter().map(|values| put_all_data(body, shape, values)).collect();
            align(body, shape.align);
            let first = body.len();
            for (values, data) in items.iter().zip(data) {
                put_fields(body, shape, values, &data);
            }
            first
        }
    }
}

/// Distance from the reference to the data, then the count.
fn reference(at: usize, data: usize, count: usize) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&distance(at, data).to_le_bytes());
    bytes[4..].copy_from_slice(&u32::try_from(count).expect("a small count").to_le_bytes());
    bytes
}

fn string(at: usize, data: usize, text: &str) -> [u8; 8] {
    let mut bytes = [0xFF; 8];
    if text.len() <= INLINE_MAX {
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        return bytes;
    }
    let length = u32::try_from(text.len()).expect("a short text");
    let marked = (length & 0x3F) | 0x80 | ((length & !0x3F) << 2);
    bytes[..4].copy_from_slice(&marked.to_le_bytes());
    bytes[4..].copy_from_slice(&distance(at, data).to_le_bytes());
    bytes
}

fn distance(at: usize, data: usize) -> i32 {
    i32::try_from(data).expect("a small body") - i32::try_from(at).expect("a small body")
}

fn align(body: &mut Vec<u8>, alignment: usize) {
    body.resize(body.len().next_multiple_of(alignment), 0);
}

pub(crate) fn decode(shape: &DocumentedShape, body: &[u8]) -> Vec<Value> {
    fields(shape, body, body.len() - shape.size)
}

fn fields(shape: &DocumentedShape, body: &[u8], root: usize) -> Vec<Value> {
    let decode = |field: &DocumentedField| {
        let at = root + field.offset;
        match field.kind.as_str() {
            "bool" => Value::Bool(body[at] == 1),
            "i64" => Value::Signed(i64::from_le_bytes(chunk(body, at))),
            "u128" => Value::Wide(u128::from_le_bytes(chunk(body, at))),
            "u64?" => {
                Value::Maybe((body[at] == 1).then(|| u64::from_le_bytes(chunk(body, at + 8))))
            }
            "bytes" => {
                let (data, count) = referred(body, at);
                Value::Bytes(body[data..data + count].to_vec())
            }
            "u16[]" => {
                let (data, count) = referred(body, at);
                let shorts = body[data..data + count * 2].chunks(2);
                Value::Shorts(shorts.map(|two| u16::from_le_bytes([two[0], two[1]])).collect())
            }
            "u32[]" => {
                let (data, count) = referred(body, at);
                let word = |index| u32::from_le_bytes(chunk(body, data + index * 4));
                Value::Words((0..count).map(word).collect())
            }
            "u64[]" => {
                let (data, count) = referred(body, at);
                let long = |index| u64::from_le_bytes(chunk(body, data + index * 8));
                Value::Longs((0..count).map(long).collect())
            }
            "Holder[]" | "MemberStatus[]" | "MonitoredRequest[]" | "ShardStatus[]" => {
                let (data, count) = referred(body, at);
                let shape = field.items.as_ref().expect("items have a shape");
                let item = |index| fields(shape, body, data + index * shape.size);
                Value::Shapes((0..count).map(item).collect())
            }
            "elements" => {
                let (tag, (data, count)) = (body[at], referred(body, at + 4));
                Value::Elements(tag, body[data..data + count * element_bytes(tag)].to_vec())
            }
            "string" => Value::Text(text(body, at)),
            "string[]" => {
                let (data, count) = referred(body, at);
                Value::Texts((0..count).map(|index| text(body, data + index * 8)).collect())
            }
            unsigned => {
                let mut bytes = [0; 8];
                let size = layout(unsigned).0;
                bytes[..size].copy_from_slice(&body[at..at + size]);
                Value::Unsigned(u64::from_le_bytes(bytes))
            }
        }
    };
    shape.fields.iter().map(decode).collect()
}

fn referred(body: &[u8], at: usize) -> (usize, usize) {
    (target(body, at, at), size(u32::from_le_bytes(chunk(body, at + 4))))
}

fn text(body: &[u8], at: usize) -> String {
    let own: [u8; 8] = chunk(body, at);
    let bytes = if own[0] & 0xC0 == 0x80 {
        let marked = u32::from_le_bytes(chunk(body, at));
        let length = size((marked & 0x3F) | ((marked & !0xFF) >> 2));
        let data = target(body, at, at + 4);
        &body[data..data + length]
    } else {
        let end = own.iter().position(|byte| *byte == 0xFF).unwrap_or(own.len());
        &own[..end]
    };
    String::from_utf8(bytes.to_vec()).expect("text is UTF-8")
}

/// Where the distance at `distance_at`, counted from `from`, leads.
fn target(body: &[u8], from: usize, distance_at: usize) -> usize {
    let distance = i32::from_le_bytes(chunk(body, distance_at));
    let distance = isize::try_from(distance).expect("32 bits fit");
    from.checked_add_signed(distance).expect("data lies in the body")
}

fn chunk<const N: usize>(body: &[u8], at: usize) -> [u8; N] {
    *body[at..].first_chunk().expect("a field lies in the body")
}

fn size(count: u32) -> usize {
    usize::try_from(count).expect("32 bits fit")
}
