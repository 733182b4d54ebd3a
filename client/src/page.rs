//! Pages of many items, and walks from page to page.
//!
//! A walk remembers where the last page ended, by key, number or name, so what is put in or removed
//! meanwhile neither repeats nor hides anything else. Only a list has nothing but positions: if it
//! shrinks in front of the walk, items move back and are missed.

use std::ops::{Bound, Range};

use catena_protocol::op::{Edge, ListOp, LogOp, MapOp, ScanArgs, ScanWhat, SetOp};
use catena_protocol::{Items, Kind, Op, PageItems, Reply};

use crate::buffer::Held;
use crate::client::Client;
use crate::error::Error;
use crate::objects::Target;

/// Some of many items, read where they were received.
#[derive(Debug)]
pub struct PageView<'c> {
    held: Held<'c>,
    at: u64,
    more: bool,
    lens: Range<usize>,
    bytes: Range<usize>,
}

impl<'c> PageView<'c> {
    /// The place of the first item: its index in a list, the number of a line; else 0.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Whether there were more behind the last item.
    pub fn more(&self) -> bool {
        self.more
    }

    /// How many items there are; an entry is two, key and value.
    pub fn len(&self) -> usize {
        self.lens().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items in order; of entries, keys and values in turn.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.items().iter()
    }

    /// Keys and values, if the page has entries.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.items().pairs()
    }

    /// The items as the protocol has them.
    pub fn items(&self) -> Items<'_> {
        let items = Items::new(self.lens(), self.held.at(&self.bytes));
        items.expect("the lengths were checked when the page came")
    }

    fn lens(&self) -> &[u32] {
        bytemuck::cast_slice(self.held.at(&self.lens))
    }

    /// The item that has `behind` items behind it.
    fn item_before(&self, behind: usize) -> Option<&[u8]> {
        let lens = self.lens();
        let place = lens.len().checked_sub(behind + 1)?;
        let tail: usize = lens[place + 1..].iter().map(|len| *len as usize).sum();
        let bytes = self.held.at(&self.bytes);
        let end = bytes.len() - tail;
        Some(&bytes[end - lens[place] as usize..end])
    }
}

impl Client {
    /// Asks for a page and keeps it where it was received.
    pub(crate) fn ask_page(&self, target: &Target, op: Op<'_>) -> Result<PageView<'_>, Error> {
        let (held, (at, more, lens, bytes)) =
            self.ask_held(target, op, None, |held, reply| match reply {
                Reply::Page { at, more, items: PageItems::Borrowed(items) } => {
                    let lens = held.place_of(bytemuck::cast_slice(items.lens()));
                    Some((at, more, lens, held.place_of(items.bytes())))
                }
                _ => None,
            })?;
        Ok(PageView { held, at, more, lens, bytes })
    }
}

/// Page after page, each asked for when it is needed. Ends after an error.
#[derive(Debug)]
pub struct Pages<'c> {
    client: &'c Client,
    target: Target,
    route: Route,
    page_items: u32,
    /// How many items are still wanted, an entry being one.
    left: u64,
    done: bool,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Route {
    /// Items of a list from this index on.
    List { from: u64 },
    /// Lines of a log behind this number.
    Log { after: u64 },
    /// Keys or entries between two edges.
    Scan { what: ScanWhat, reverse: bool, from: Bound<Vec<u8>>, to: Bound<Vec<u8>> },
}

impl<'c> Pages<'c> {
    pub(crate) fn new(client: &'c Client, target: &Target, route: Route) -> Pages<'c> {
        let target = target.clone();
        Pages { client, target, route, page_items: 0, left: u64::MAX, done: false }
    }

    /// So many items a page at most; as many as the engine allows unless set.
    #[must_use]
    pub fn page_items(mut self, items: u32) -> Pages<'c> {
        self.page_items = items;
        self
    }

    /// So many items in all.
    #[must_use]
    pub(crate) fn limit(mut self, items: u64) -> Pages<'c> {
        self.left = items;
        self
    }

    fn fetch(&mut self) -> Result<PageView<'c>, Error> {
        let limit = u32::try_from(self.left).unwrap_or(u32::MAX);
        let limit = if self.page_items == 0 { limit } else { limit.min(self.page_items) };
        let op = self.route.op(self.target.kind, limit);
        let page = self.client.ask_page(&self.target, op)?;
        let items = self.route.pass(&page);
        self.left -= items.min(self.left);
        self.done = !page.more || items == 0 || self.left == 0;
        Ok(page)
    }
}

impl<'c> Iterator for Pages<'c> {
    type Item = Result<PageView<'c>, Error>;

    fn next(&mut self) -> Option<Result<PageView<'c>, Error>> {
        if self.done || self.left == 0 {
            return None;
        }
        let fetched = self.fetch();
        self.done |= fetched.is_err();
        Some(fetched)
    }
}

impl Route {
    fn op(&self, kind: Kind, limit: u32) -> Op<'_> {
        match self {
            Route::List { from } => Op::List(ListOp::Range { from: *from, limit }),
            Route::Log { after } => Op::Log(LogOp::Tail { after: *after, limit }),
            Route::Scan { what, reverse, from, to } => {
                let (from, to) = (edge(from), edge(to));
                let scan = ScanArgs { what: *what, reverse: *reverse, limit, from, to };
                match kind {
                    Kind::Set => Op::Set(SetOp::Scan(scan)),
                    _ => Op::Map(MapOp::Scan(scan)),
                }
            }
        }
    }

    /// Goes on behind a page; answers how many items it has, an entry being one.
    fn pass(&mut self, page: &PageView<'_>) -> u64 {
        let len = page.len() as u64;
        match self {
            Route::List { from } => *from = page.at + len,
            Route::Log { after } => *after = (page.at + len).saturating_sub(1),
            Route::Scan { what, reverse, from, to } => {
                let (items, behind) = match what {
                    ScanWhat::Entries => (len / 2, 1),
                    ScanWhat::Keys | ScanWhat::Values => (len, 0),
                };
                if let Some(last) = page.item_before(behind) {
                    let edge = Bound::Excluded(last.to_vec());
                    *(if *reverse { to } else { from }) = edge;
                }
                return items;
            }
        }
        len
    }
}

fn edge(bound: &Bound<Vec<u8>>) -> Edge<'_> {
    match bound {
        Bound::Unbounded => Edge::None,
        Bound::Included(key) => Edge::Included(key),
        Bound::Excluded(key) => Edge::Excluded(key),
    }
}

/// Item after item, copied out of pages that are asked for when they are needed. Ends after an error.
#[derive(Debug)]
pub struct ItemWalk<'c> {
    steps: Steps<'c>,
    /// Leave out the keys.
    values: bool,
}

/// Entry after entry, as [`ItemWalk`].
#[derive(Debug)]
pub struct EntryWalk<'c> {
    steps: Steps<'c>,
}

/// Line after line with its number, as [`ItemWalk`].
#[derive(Debug)]
pub struct LineWalk<'c> {
    steps: Steps<'c>,
    next: u64,
}

impl<'c> ItemWalk<'c> {
    pub(crate) fn new(pages: Pages<'c>) -> ItemWalk<'c> {
        ItemWalk { steps: Steps::new(pages), values: false }
    }

    pub(crate) fn of_values(pages: Pages<'c>) -> ItemWalk<'c> {
        ItemWalk { steps: Steps::new(pages), values: true }
    }
}

impl Iterator for ItemWalk<'_> {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Result<Vec<u8>, Error>> {
        if self.values
            && let Err(error) = self.steps.next()?
        {
            return Some(Err(error));
        }
        Some(self.steps.next()?.map(<[u8]>::to_vec))
    }
}

impl<'c> EntryWalk<'c> {
    pub(crate) fn new(pages: Pages<'c>) -> EntryWalk<'c> {
        EntryWalk { steps: Steps::new(pages) }
    }
}

impl Iterator for EntryWalk<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let key = match self.steps.next()? {
            Ok(key) => key.to_vec(),
            Err(error) => return Some(Err(error)),
        };
        Some(self.steps.next()?.map(|value| (key, value.to_vec())))
    }
}

impl<'c> LineWalk<'c> {
    pub(crate) fn new(pages: Pages<'c>) -> LineWalk<'c> {
        LineWalk { steps: Steps::new(pages), next: 0 }
    }
}

impl Iterator for LineWalk<'_> {
    type Item = Result<(u64, String), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.steps.next()? {
            Err(error) => Some(Err(error)),
            Ok(line) => {
                let line = String::from_utf8_lossy(line).into_owned();
                self.next = self.steps.page_at().unwrap_or(self.next);
                self.next += 1;
                Some(Ok((self.next - 1, line)))
            }
        }
    }
}

/// The items of pages, lent out one by one.
#[derive(Debug)]
struct Steps<'c> {
    pages: Pages<'c>,
    page: Option<PageView<'c>>,
    /// The next item of the page, and where its bytes begin.
    item: usize,
    byte: usize,
}

impl<'c> Steps<'c> {
    fn new(pages: Pages<'c>) -> Steps<'c> {
        Steps { pages, page: None, item: 0, byte: 0 }
    }

    fn next(&mut self) -> Option<Result<&[u8], Error>> {
        while self.page.as_ref().is_none_or(|page| self.item == page.len()) {
            // Its buffer can be used for the next one.
            self.page = None;
            match self.pages.next()? {
                Ok(page) => self.page = Some(page),
                Err(error) => return Some(Err(error)),
            }
            (self.item, self.byte) = (0, 0);
        }
        let page = self.page.as_ref()?;
        let begins = self.byte;
        self.byte += page.lens()[self.item] as usize;
        self.item += 1;
        Some(Ok(&page.held.at(&page.bytes)[begins..self.byte]))
    }

    /// The place of the first item of the page, if it is the one that was lent out last.
    fn page_at(&self) -> Option<u64> {
        self.page.as_ref().filter(|_| self.item == 1).map(PageView::at)
    }
}
