//! The load of the engine, live: the ops and the objects of every shard.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use catena_client::{Client, Stats};
use clap::Args;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Table};
use serde_json::json;

use crate::context::Context;
use crate::outcome::Outcome;
use crate::values::time;

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Time between two updates of the display
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    every: Duration,
    /// Number of updates before it ends [default: 1 without a terminal]
    #[arg(long)]
    times: Option<u32>,
}

/// The load between two readings of the statistics.
struct TopView {
    shards: Vec<Stats>,
    /// Updates and reads per second, by shard.
    rates: Vec<(f64, f64)>,
    engine: String,
    /// In a cluster the name of the member that was asked, by shard.
    nodes: Vec<String>,
}

impl TopArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let client = on.client;
        if std::io::stdout().is_terminal() && self.times.is_none() {
            let mut terminal = ratatui::try_init()?;
            let ended = self.watch(client, &mut terminal);
            ratatui::restore();
            ended?;
            return Ok(Outcome::done().with_text(""));
        }
        let mut last = None;
        for _ in 0..self.times.unwrap_or(1) {
            let view = self.measure(client)?;
            if last.is_some() {
                view.outcome().print(on.format);
            }
            last = Some(view);
        }
        let Some(view) = last else { return Ok(Outcome::nothing()) };
        Ok(view.outcome())
    }

    /// Reads the statistics twice, `every` apart.
    fn measure(&self, client: &Client) -> anyhow::Result<TopView> {
        let before = client.stats()?;
        let since = Instant::now();
        std::thread::sleep(self.every);
        TopView::between(client, &before, since)
    }

    fn watch(
        &self,
        client: &Client,
        terminal: &mut ratatui::DefaultTerminal,
    ) -> anyhow::Result<()> {
        let (mut before, mut since) = (client.stats()?, Instant::now());
        let mut view = TopView::between(client, &before, since)?;
        loop {
            terminal.draw(|frame| view.draw(frame))?;
            let next = since + self.every;
            while let Some(left) = next.checked_duration_since(Instant::now()) {
                if event::poll(left)?
                    && let Event::Key(key) = event::read()?
                    && matches!(key.code, KeyCode::Char('q' | 'c') | KeyCode::Esc)
                {
                    return Ok(());
                }
            }
            view = TopView::between(client, &before, since)?;
            (before, since) = (view.shards.clone(), Instant::now());
        }
    }
}

const COLUMNS: [&str; 9] =
    ["shard", "core", "updates/s", "reads/s", "objects", "sessions", "waiting", "held", "memory"];

/// The maximum length at which a node's name is shown.
const NAME_CHARS: usize = 16;

impl TopView {
    fn between(client: &Client, before: &[Stats], since: Instant) -> anyhow::Result<TopView> {
        let shards = client.stats()?;
        let seconds = since.elapsed().as_secs_f64().max(1e-6);
        #[allow(clippy::cast_precision_loss)] // a rate for people
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let rates = shards
            .iter()
            .zip(before)
            .map(|(now, before)| (rate(now.updates, before.updates), rate(now.reads, before.reads)))
            .collect();
        let cluster = client.cluster();
        let head = |shard| {
            let head = cluster.as_ref().and_then(|cluster| cluster.chain(shard).next());
            head.map(|member| member.name.clone())
        };
        let nodes = (0..).zip(&shards).filter_map(|(shard, _)| head(shard)).collect();
        Ok(TopView { shards, rates, engine: client.engine(), nodes })
    }

    fn headline(&self) -> String {
        let updates: f64 = self.rates.iter().map(|(updates, _)| updates).sum();
        let reads: f64 = self.rates.iter().map(|(_, reads)| reads).sum();
        let objects: u64 = self.shards.iter().map(|shard| shard.objects).sum();
        let bytes: u64 = self.shards.iter().map(|shard| shard.bytes).sum();
        // Connections belong to a core, and all of its shards report the same number.
        let mut cores: Vec<(&str, u64, u64)> = self
            .shards
            .iter()
            .enumerate()
            .map(|(at, shard)| (self.node(at), shard.core, shard.connections))
            .collect();
        cores.sort_unstable();
        cores.dedup();
        let connections: u64 = cores.iter().map(|(_, _, connections)| connections).sum();
        let mut nodes = self.nodes.clone();
        nodes.sort_unstable();
        nodes.dedup();
        let of_nodes = match nodes.is_empty() {
            true => String::new(),
            false => format!(" at {}", nodes.join(", ")),
        };
        format!(
            "{}{of_nodes}: {updates:.0} updates/s, {reads:.0} reads/s, {objects} objects, {}, \
             {connections} connections",
            self.engine,
            ByteSize(bytes),
        )
    }

    /// The name of the member that was asked about a shard; empty on a single node.
    fn node(&self, shard: usize) -> &str {
        self.nodes.get(shard).map_or("", String::as_str)
    }

    /// The column headers; in a cluster the core includes the node's name.
    fn columns(&self) -> [&'static str; 9] {
        let mut columns = COLUMNS;
        if !self.nodes.is_empty() {
            columns[1] = "node/core";
        }
        columns
    }

    /// The width of each column.
    fn widths(&self) -> [usize; 9] {
        let mut widths = [10; 9];
        let longest = self.nodes.iter().map(|name| name.chars().count().min(NAME_CHARS)).max();
        widths[1] = longest.map_or(10, |chars| (chars + 6).max(10));
        widths
    }

    fn rows(&self) -> impl Iterator<Item = [String; 9]> {
        (0..).zip(self.shards.iter().zip(&self.rates)).map(|(at, (shard, (updates, reads)))| {
            let core = match self.node(at) {
                "" => shard.core.to_string(),
                node => {
                    let name: String = node.chars().take(NAME_CHARS).collect();
                    format!("{name}/{}", shard.core)
                }
            };
            [
                at.to_string(),
                core,
                format!("{updates:.0}"),
                format!("{reads:.0}"),
                shard.objects.to_string(),
                shard.sessions.to_string(),
                shard.waiters.to_string(),
                shard.holds.to_string(),
                ByteSize(shard.bytes).to_string(),
            ]
        })
    }

    fn text(&self) -> String {
        let widths = self.widths();
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(widths);
            cells.map(|(cell, width)| format!("{cell:>width$}")).collect::<Vec<_>>().join("")
        };
        let head = line(&self.columns().map(str::to_owned));
        let rows: Vec<String> = self.rows().map(|row| line(&row)).collect();
        format!("{}\n{head}\n{}", self.headline(), rows.join("\n"))
    }

    fn outcome(&self) -> Outcome {
        Outcome::value(self.json()).with_text(self.text())
    }

    fn json(&self) -> serde_json::Value {
        let of_shards = self.shards.iter().zip(&self.rates).enumerate();
        let shards = of_shards.map(|(at, (shard, (updates, reads)))| {
            json!({
                "node": self.nodes.get(at), "core": shard.core, "updates_per_s": updates,
                "reads_per_s": reads,
                "updates": shard.updates, "reads": shard.reads, "objects": shard.objects,
                "named": shard.named, "sessions": shard.sessions, "waiters": shard.waiters,
                "holds": shard.holds, "bytes": shard.bytes,
                "memory_bytes_max": shard.memory_bytes_max, "connections": shard.connections,
            })
        });
        json!({"engine": self.engine, "shards": shards.collect::<Vec<_>>()})
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
                .areas(frame.area());
        let bold = Style::new().add_modifier(Modifier::BOLD);
        frame.render_widget(Line::styled(self.headline(), bold), head);
        let rows = self.rows().map(|row| Row::new(row.map(Cell::from)));
        let widths =
            self.widths().map(|width| Constraint::Length(u16::try_from(width).unwrap_or(10)));
        let table = Table::new(rows, widths).header(
            Row::new(self.columns()).style(Style::new().add_modifier(Modifier::UNDERLINED)),
        );
        frame.render_widget(table, body);
        frame.render_widget(Line::from("q: quit"), foot);
    }
}
