//! Walks over many items, page by page.
//!
//! A walk continues from the key or number where the last page ended, so items that are added or
//! removed meanwhile do not make it repeat or miss others. Only lists have nothing but positions:
//! if items in front of the walk are removed, those behind move up and some are missed.

use std::ops::Bound;

use catena_protocol::op::{Edge, ListOp, LogOp, MapOp, ScanArgs, ScanWhat, SetOp};
use catena_protocol::{Kind, Op};

use crate::error::Error;
use crate::requester::Requester;
use crate::target::CallTarget;
use crate::view::PageView;

/// The pages of a walk, each fetched when it is needed. Ends after an error.
#[derive(Debug)]
pub struct Pages {
    requester: Requester,
    target: CallTarget,
    cursor: PageCursor,
    page_items: u32,
    /// How many items are still wanted; an entry counts as one.
    left: u64,
    done: bool,
}

/// Where the next page begins.
#[derive(Debug)]
pub(crate) enum PageCursor {
    /// Items of a list from this index on.
    List { from: u64 },
    /// Lines of a log behind this number.
    Log { after: u64 },
    /// Keys or entries between two edges.
    Scan { what: ScanWhat, reverse: bool, from: Bound<Vec<u8>>, to: Bound<Vec<u8>> },
}

impl Pages {
    pub(crate) fn new(requester: &Requester, target: &CallTarget, cursor: PageCursor) -> Pages {
        let target = target.clone();
        Pages {
            requester: requester.clone(),
            target,
            cursor,
            page_items: 0,
            left: u64::MAX,
            done: false,
        }
    }

    /// Sets the maximum number of items in a page; as many as the engine allows unless set.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b", "c"])?;
    /// assert_eq!(jobs.pages().page_items(2).count(), 2);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn page_items(mut self, items: u32) -> Pages {
        self.page_items = items;
        self
    }

    /// Limits the number of items of the whole walk.
    #[must_use]
    pub(crate) fn limit(mut self, items: u64) -> Pages {
        self.left = items;
        self
    }

    fn fetch(&mut self) -> Result<PageView, Error> {
        let limit = u32::try_from(self.left).unwrap_or(u32::MAX);
        let limit = if self.page_items == 0 { limit } else { limit.min(self.page_items) };
        let op = self.cursor.op(self.target.kind, limit);
        let page = self.requester.ask_page(&self.target, op)?;
        let items = self.cursor.pass(&page);
        self.left -= items.min(self.left);
        self.done = !page.more() || items == 0 || self.left == 0;
        Ok(page)
    }
}

impl Iterator for Pages {
    type Item = Result<PageView, Error>;

    fn next(&mut self) -> Option<Result<PageView, Error>> {
        if self.done || self.left == 0 {
            return None;
        }
        let fetched = self.fetch();
        self.done |= fetched.is_err();
        Some(fetched)
    }
}

impl PageCursor {
    fn op(&self, kind: Kind, limit: u32) -> Op<'_> {
        match self {
            PageCursor::List { from } => Op::List(ListOp::Range { from: *from, limit }),
            PageCursor::Log { after } => Op::Log(LogOp::Tail { after: *after, limit }),
            PageCursor::Scan { what, reverse, from, to } => {
                let (from, to) = (edge(from), edge(to));
                let scan = ScanArgs { what: *what, reverse: *reverse, limit, from, to };
                match kind {
                    Kind::Set => Op::Set(SetOp::Scan(scan)),
                    _ => Op::Map(MapOp::Scan(scan)),
                }
            }
        }
    }

    /// Moves behind a page. Returns how many items it has; an entry counts as one.
    fn pass(&mut self, page: &PageView) -> u64 {
        let len = page.len() as u64;
        match self {
            PageCursor::List { from } => *from = page.at() + len,
            PageCursor::Log { after } => *after = (page.at() + len).saturating_sub(1),
            PageCursor::Scan { what, reverse, from, to } => {
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

/// The items of a walk, copied out of pages that are fetched when they are needed. Ends after an
/// error.
#[derive(Debug)]
pub struct ItemWalk {
    steps: ItemCursor,
    /// The pages have entries, of which only the values are wanted.
    values: bool,
}

/// The entries of a walk, otherwise as [`ItemWalk`].
#[derive(Debug)]
pub struct EntryWalk {
    steps: ItemCursor,
}

/// The lines of a walk with their numbers, otherwise as [`ItemWalk`].
#[derive(Debug)]
pub struct LineWalk {
    steps: ItemCursor,
    next: u64,
}

impl ItemWalk {
    pub(crate) fn new(pages: Pages) -> ItemWalk {
        ItemWalk { steps: ItemCursor::new(pages), values: false }
    }

    pub(crate) fn of_values(pages: Pages) -> ItemWalk {
        ItemWalk { steps: ItemCursor::new(pages), values: true }
    }
}

impl Iterator for ItemWalk {
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

impl EntryWalk {
    pub(crate) fn new(pages: Pages) -> EntryWalk {
        EntryWalk { steps: ItemCursor::new(pages) }
    }
}

impl Iterator for EntryWalk {
    type Item = Result<(Vec<u8>, Vec<u8>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let key = match self.steps.next()? {
            Ok(key) => key.to_vec(),
            Err(error) => return Some(Err(error)),
        };
        Some(self.steps.next()?.map(|value| (key, value.to_vec())))
    }
}

impl LineWalk {
    pub(crate) fn new(pages: Pages) -> LineWalk {
        LineWalk { steps: ItemCursor::new(pages), next: 0 }
    }
}

impl Iterator for LineWalk {
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

/// Borrows the items of pages one by one.
#[derive(Debug)]
struct ItemCursor {
    pages: Pages,
    page: Option<PageView>,
    /// The next item of the page, and where its bytes begin.
    item: usize,
    byte: usize,
}

impl ItemCursor {
    fn new(pages: Pages) -> ItemCursor {
        ItemCursor { pages, page: None, item: 0, byte: 0 }
    }

    fn next(&mut self) -> Option<Result<&[u8], Error>> {
        while self.page.as_ref().is_none_or(|page| self.item == page.len()) {
            // Its buffer can receive the next page.
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
        Some(Ok(&page.bytes()[begins..self.byte]))
    }

    /// The number of the first item of the page, if that is the item returned last.
    fn page_at(&self) -> Option<u64> {
        self.page.as_ref().filter(|_| self.item == 1).map(PageView::at)
    }
}
