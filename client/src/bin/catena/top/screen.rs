//! The load on a terminal: a table that is scrolled and sorted, and how it was before.

use std::cmp::Reverse;
use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Sparkline, Table};

use super::view::{COLUMNS, TopView, compact};
use crate::display::cut;

/// What is shown, and what was before.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// The row at the top.
    offset: usize,
    order: Order,
    /// How many rows were shown last.
    page: usize,
    rows: usize,
    /// Requests per second of each shard, the last one at the end.
    history: Vec<VecDeque<u64>>,
    /// The same of all shards.
    total: VecDeque<u64>,
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Shard,
    Load,
    Memory,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Continue,
    Quit,
}

/// How many readings are remembered.
const HISTORY: usize = 240;

/// From which width on there is a column for the history, and from which height on a diagram.
const WIDE: u16 = 100;
const HIGH: u16 = 30;
const DIAGRAM_LINES: u16 = 5;

/// The widths of the columns: 76 with a blank between two of them.
const WIDTHS: [u16; COLUMNS] = [5, 12, 7, 7, 7, 6, 5, 5, 9, 4];

/// The columns in the order in which they get a place: number, updates, reads, memory in percent,
/// objects, memory, core, waiting, held, sessions.
const IMPORTANCE: [usize; COLUMNS] = [0, 2, 3, 9, 4, 8, 1, 6, 7, 5];

impl Screen {
    /// Adds a reading to the history.
    pub(super) fn remember(&mut self, view: &TopView) {
        self.rows = view.shards.len();
        self.history.resize(self.rows, VecDeque::new());
        for (history, (updates, reads)) in self.history.iter_mut().zip(&view.rates) {
            push(history, updates + reads);
        }
        let totals = view.totals();
        push(&mut self.total, totals.updates + totals.reads);
    }

    /// Scrolls or sorts.
    pub(super) fn on_key(&mut self, key: KeyEvent) -> Step {
        let last = self.rows.saturating_sub(self.page);
        let page = self.page.max(1);
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return Step::Quit;
            }
            KeyCode::Char('q') | KeyCode::Esc => return Step::Quit,
            KeyCode::Up | KeyCode::Char('k') => self.offset = self.offset.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.offset += 1,
            KeyCode::PageUp => self.offset = self.offset.saturating_sub(page),
            KeyCode::PageDown | KeyCode::Char(' ') => self.offset += page,
            KeyCode::Home | KeyCode::Char('g') => self.offset = 0,
            KeyCode::End | KeyCode::Char('G') => self.offset = last,
            KeyCode::Char('s') => {
                self.order = match self.order {
                    Order::Shard => Order::Load,
                    Order::Load => Order::Memory,
                    Order::Memory => Order::Shard,
                };
                self.offset = 0;
            }
            _ => {}
        }
        self.offset = self.offset.min(last);
        Step::Continue
    }

    pub(super) fn draw(&mut self, view: &TopView, frame: &mut Frame<'_>) {
        let area = frame.area();
        let width = usize::from(area.width);
        let diagram = if area.height >= HIGH { DIAGRAM_LINES } else { 0 };
        let lines = [1, 1, diagram].map(Constraint::Length);
        let [place, load, diagram, body, foot] = Layout::vertical([
            lines[0],
            lines[1],
            lines[2],
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(area);
        let bold = Style::new().add_modifier(Modifier::BOLD);
        frame.render_widget(Line::styled(cut(&view.place(), width), bold), place);
        frame.render_widget(Line::from(cut(&view.load(), width)), load);
        self.draw_diagram(diagram, frame);
        self.draw_table(view, body, frame);
        let shown = (self.offset + self.page).min(self.rows);
        let order = match self.order {
            Order::Shard => "by number",
            Order::Load => "by load",
            Order::Memory => "by memory",
        };
        let first = (self.offset + 1).min(shown);
        let rows = format!("rows {first} to {shown} of {}, {order}", self.rows);
        let keys = ["   s: sort   ↑ ↓ PgUp PgDn: scroll   q: quit", "  s ↑ ↓ q"];
        let texts = keys.map(|keys| format!("{rows}{keys}"));
        let fits = |text: &&String| text.chars().count() <= width;
        let text = texts.iter().find(fits).unwrap_or(&texts[keys.len() - 1]);
        frame.render_widget(Line::from(cut(text, width)), foot);
    }

    /// Requests per second of all shards, the newest at the right.
    fn draw_diagram(&self, area: Rect, frame: &mut Frame<'_>) {
        if area.height < 2 {
            return;
        }
        let [title, bars] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
        let width = usize::from(area.width);
        let data: Vec<u64> = self.total.iter().rev().take(width).rev().copied().collect();
        #[allow(clippy::cast_precision_loss)] // a number for people
        let most = data.iter().max().map_or(0.0, |most| *most as f64);
        let text = format!("requests per second, at most {}", compact(most));
        frame.render_widget(Line::from(cut(&text, width)), title);
        frame.render_widget(Sparkline::default().data(data), bars);
    }

    fn draw_table(&mut self, view: &TopView, area: Rect, frame: &mut Frame<'_>) {
        self.rows = view.shards.len();
        self.page = usize::from(area.height.saturating_sub(1));
        self.offset = self.offset.min(self.rows.saturating_sub(self.page));
        let is_wide = area.width >= WIDE;
        let used: u16 = WIDTHS.iter().sum::<u16>() + u16::try_from(WIDTHS.len()).unwrap_or(0);
        let room = usize::from(area.width.saturating_sub(used + 1));
        let columns = columns_within(area.width);
        let all = view.rows();
        let rows = self.sorted(view).into_iter().skip(self.offset).take(self.page).map(|at| {
            let cell = |column: &usize| Cell::from(right(&all[at][*column], WIDTHS[*column]));
            let mut cells: Vec<Cell<'_>> = columns.iter().map(cell).collect();
            if is_wide {
                let history = self.history.get(at);
                cells.push(Cell::from(history.map_or(String::new(), |it| bars(it, room))));
            }
            Row::new(cells)
        });
        let heads = view.columns();
        let mut widths: Vec<Constraint> =
            columns.iter().map(|column| Constraint::Length(WIDTHS[*column])).collect();
        let mut head: Vec<String> =
            columns.iter().map(|column| right(heads[*column], WIDTHS[*column])).collect();
        if is_wide {
            widths.push(Constraint::Fill(1));
            head.push("requests/s, until now".to_owned());
        }
        let underlined = Style::new().add_modifier(Modifier::UNDERLINED);
        let rows: Vec<Row<'_>> = rows.collect();
        frame
            .render_widget(Table::new(rows, widths).header(Row::new(head).style(underlined)), area);
    }

    /// The shards in the order of the rows.
    fn sorted(&self, view: &TopView) -> Vec<usize> {
        let mut shards: Vec<usize> = (0..view.shards.len()).collect();
        match self.order {
            Order::Shard => {}
            Order::Load => shards.sort_by(|one, other| {
                let load =
                    |at: usize| view.rates.get(at).map_or(0.0, |(updates, reads)| updates + reads);
                load(*other).total_cmp(&load(*one))
            }),
            Order::Memory => shards.sort_by_key(|at| Reverse(view.shards[*at].bytes)),
        }
        shards
    }
}

fn push(history: &mut VecDeque<u64>, rate: f64) {
    if history.len() == HISTORY {
        history.pop_front();
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // rates are not that high
    history.push_back(rate.max(0.0) as u64);
}

/// A text at the right of a column.
fn right(text: &str, width: u16) -> String {
    let width = usize::from(width);
    format!("{:>width$}", cut(text, width))
}

/// The columns that fit a width, the most important ones.
fn columns_within(width: u16) -> Vec<usize> {
    let mut left = width;
    let mut columns: Vec<usize> = IMPORTANCE
        .into_iter()
        .map_while(|column| {
            left = left.checked_sub(WIDTHS[column])?;
            // The blank in front of the next one.
            left = left.saturating_sub(1);
            Some(column)
        })
        .collect();
    columns.sort_unstable();
    columns
}

/// Values as bars of one line, relative to the largest, the newest at the right.
fn bars(values: &VecDeque<u64>, width: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = values.iter().copied().max().unwrap_or(0);
    let bar = |value: &u64| match (most, *value) {
        (0, _) | (_, 0) => ' ',
        (most, value) => {
            let level = value.saturating_mul(7).div_ceil(most.max(1)).min(7);
            LEVELS[usize::try_from(level).unwrap_or(7)]
        }
    };
    values.iter().skip(values.len().saturating_sub(width)).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use catena_client::Stats;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn view(shards: u32) -> TopView {
        let shard = |at: u64| Stats {
            core: at % 4,
            objects: 1_000_000 + at,
            bytes: 300 << 20,
            memory_bytes_max: 1 << 30,
            sessions: 65_536,
            connections: 8_192,
            ..Stats::default()
        };
        let name = |at: u64| format!("ip-10-0-{}-17.eu-central-1.compute.internal", at % 3);
        TopView {
            shards: (0..shards.into()).map(shard).collect(),
            rates: (0..shards).map(|at| (1e6 + f64::from(at), 5e5)).collect(),
            engine: "catena-engine 0.1.0".to_owned(),
            nodes: (0..shards.into()).map(name).collect(),
        }
    }

    fn drawn(screen: &mut Screen, view: &TopView, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(view, frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| line(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn everything_fits_80_columns_and_is_reached_by_scrolling() {
        let (view, mut screen) = (view(64), Screen::default());
        screen.remember(&view);
        let lines = drawn(&mut screen, &view, 80, 24);
        let expected = "catena-engine 0.1.0: 64 shards on 12 cores of 3 nodes, 98.3k connections";
        assert_eq!(lines[0], expected);
        assert!(lines[1].ends_with(" % of memory)"), "{}", lines[1]);
        assert!(lines[2].ends_with(" mem") && lines[2].contains("node/core"), "{}", lines[2]);
        let row: Vec<&str> = lines[3].split_whitespace().collect();
        assert_eq!(row[..5], ["0", "…0/0", "1.00M", "500k", "1.00M"], "{}", lines[3]);
        assert!(lines[4].contains("…1/1") && lines[5].contains("…2/2"), "names differ");
        assert!(lines[23].starts_with("rows 1 to 20 of 64, by number"), "{}", lines[23]);
        assert!(lines[23].ends_with("q: quit"), "{}", lines[23]);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..4 {
            let lines = drawn(&mut screen, &view, 80, 24);
            seen.extend(
                lines[3..23]
                    .iter()
                    .filter_map(|line| line.split_whitespace().next().map(str::to_owned)),
            );
            assert_eq!(screen.on_key(KeyCode::PageDown.into()), Step::Continue);
        }
        assert_eq!(seen.len(), 64);
        screen.on_key(KeyCode::Down.into());
        assert!(drawn(&mut screen, &view, 80, 24)[23].starts_with("rows 45 to 64 of 64"));
    }

    #[test]
    fn a_narrow_terminal_gets_whole_columns_the_most_important_ones() {
        let (view, mut screen) = (view(8), Screen::default());
        screen.remember(&view);
        let lines = drawn(&mut screen, &view, 40, 12);
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines[2]), ["shard", "upd/s", "reads/s", "objects", "mem"]);
        assert_eq!(words(&lines[3]), ["0", "1.00M", "500k", "1.00M", "29%"]);
        assert_eq!(lines[11], "rows 1 to 8 of 8, by number  s ↑ ↓ q");
        // Every width has as many columns as fit, and none that is cut.
        assert_eq!(columns_within(76), (0..COLUMNS).collect::<Vec<_>>());
        assert_eq!(columns_within(75).len(), COLUMNS - 1);
        assert_eq!(columns_within(5), [0]);
        assert!(columns_within(4).is_empty());
        let used = |columns: &[usize]| -> u16 {
            let widths: u16 = columns.iter().map(|column| WIDTHS[*column]).sum();
            widths + u16::try_from(columns.len().saturating_sub(1)).unwrap()
        };
        assert!((0..=200).all(|width| used(&columns_within(width)) <= width));
    }

    #[test]
    fn rows_are_sorted_by_load_and_memory() {
        let (mut view, mut screen) = (view(8), Screen::default());
        view.shards[5].bytes += 1;
        let first = |screen: &mut Screen| {
            let lines = drawn(screen, &view, 80, 24);
            lines[3].split_whitespace().next().map(str::to_owned)
        };
        assert_eq!(first(&mut screen).as_deref(), Some("0"));
        screen.on_key(KeyCode::Char('s').into());
        assert_eq!(first(&mut screen).as_deref(), Some("7"));
        screen.on_key(KeyCode::Char('s').into());
        assert_eq!(first(&mut screen).as_deref(), Some("5"));
        assert_eq!(screen.on_key(KeyCode::Char('q').into()), Step::Quit);
        let end = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(screen.on_key(end), Step::Quit);
        assert_eq!(screen.on_key(KeyCode::Char('c').into()), Step::Continue);
    }

    #[test]
    fn a_large_terminal_shows_what_was_before() {
        let (mut view, mut screen) = (view(8), Screen::default());
        for rate in [0.0, 1e6, 4e6] {
            view.rates[0] = (rate, 0.0);
            screen.remember(&view);
        }
        let lines = drawn(&mut screen, &view, 160, 40);
        assert!(lines[2].starts_with("requests per second, at most "), "{}", lines[2]);
        assert!(lines[7].contains("requests/s, until now"), "{}", lines[7]);
        assert!(lines[8].ends_with(" ▃█"), "{}", lines[8]);
        let small = drawn(&mut screen, &view, 20, 5);
        assert!(small[0].ends_with('…'), "{small:?}");
    }
}
