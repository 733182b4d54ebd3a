//! Bars and lines as SVG. Colours are classes, so that the page decides them.

use super::escape;
use crate::record::amount;

/// A horizontal bar.
pub(super) struct Bar<'a> {
    pub(super) name: &'a str,
    pub(super) value: f64,
    pub(super) ours: bool,
}

/// Points joined by a line.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 420.0;

/// Bars from zero, each with its name in front and its number behind.
pub(super) fn bars(title: &str, unit: &str, bars: &[Bar<'_>]) -> String {
    const NAME: f64 = 92.0;
    const NUMBER: f64 = 92.0;
    const STEP: f64 = 26.0;
    let most = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = String::new();
    let mut y = 0.0;
    for bar in bars {
        let length = (bar.value / most * (WIDTH - NAME - NUMBER)).max(1.0);
        let (class, middle) = (if bar.ours { 0 } else { 1 }, y + 15.0);
        svg += &format!(
            "<text x=\"{:.0}\" y=\"{middle:.0}\" text-anchor=\"end\">{}</text>\
             <rect class=\"bar-{class}\" x=\"{NAME:.0}\" y=\"{:.0}\" width=\"{length:.1}\" \
             height=\"18\" rx=\"2\"/><text x=\"{:.1}\" y=\"{middle:.0}\">{}</text>\n",
            NAME - 8.0,
            escape(&shortened(bar.name)),
            y + 2.0,
            NAME + length + 6.0,
            amount(bar.value, unit)
        );
        y += STEP;
    }
    figure(title, y, &svg)
}

/// The end of a name that is too long to stand before a bar: of an address, the port.
fn shortened(name: &str) -> String {
    let chars = name.chars().count();
    if chars <= 13 {
        name.to_owned()
    } else {
        format!("…{}", name.chars().skip(chars - 12).collect::<String>())
    }
}

/// Lines from zero up; across on a scale by powers if the values span some, else from zero, too.
pub(super) fn lines(title: &str, unit: &str, axis: &str, lines: &[Line<'_>]) -> String {
    const LEFT: f64 = 8.0;
    const TOP: f64 = 40.0;
    const BOTTOM: f64 = 200.0;
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let low = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let high = points().map(|(x, _)| *x).fold(f64::MIN_POSITIVE, f64::max);
    let most = points().map(|(_, y)| *y).fold(f64::MIN_POSITIVE, f64::max);
    if !low.is_finite() {
        return String::new();
    }
    let powers = axis == "parties" && low > 0.0 && high / low > 20.0;
    let across = |x: f64| {
        let span = WIDTH - 2.0 * LEFT - 24.0;
        let share = if powers { (x / low).ln() / (high / low).ln() } else { x / high };
        LEFT + 6.0 + share * span
    };
    let up = |y: f64| BOTTOM - y / most * (BOTTOM - TOP);
    let mut svg = format!(
        "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{0:.0}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>\
         <line class=\"rule\" x1=\"{LEFT}\" x2=\"{0:.0}\" y1=\"{TOP}\" y2=\"{TOP}\"/>\
         <text class=\"faint\" x=\"{LEFT}\" y=\"{1:.0}\">{2}</text>\n",
        WIDTH - LEFT,
        TOP - 6.0,
        amount(most, unit)
    );
    for (class, line) in lines.iter().enumerate() {
        let class = class % 3;
        let place = |(x, y): &(f64, f64)| format!("{:.1},{:.1}", across(*x), up(*y));
        let path: Vec<String> = line.points.iter().map(place).collect();
        svg += &format!("<polyline class=\"line-{class}\" points=\"{}\"/>", path.join(" "));
        for (x, y) in &line.points {
            let said = format!("{}: {} at {}", line.name, amount(*y, unit), amount(*x, axis));
            svg += &format!(
                "<circle class=\"dot-{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>{}</title>\
                 </circle>",
                across(*x),
                up(*y),
                escape(&said)
            );
        }
        svg += "\n";
    }
    svg += &legend(lines);
    svg += &ticks(lines, &across, BOTTOM + 16.0);
    let centre = WIDTH / 2.0;
    svg += &format!(
        "<text class=\"faint\" x=\"{centre}\" y=\"{:.0}\" text-anchor=\"middle\">{axis}</text>\n",
        BOTTOM + 34.0
    );
    figure(title, BOTTOM + 40.0, &svg)
}

/// Which line is which, where there is more than one.
fn legend(lines: &[Line<'_>]) -> String {
    if lines.len() < 2 {
        return String::new();
    }
    let mut svg = String::new();
    let mut x = WIDTH - 60.0 * f64::from(u32::try_from(lines.len()).expect("few lines"));
    for (class, line) in lines.iter().enumerate() {
        let class = class % 3;
        svg += &format!(
            "<circle class=\"dot-{class}\" cx=\"{x:.0}\" cy=\"14\" r=\"4\"/>\
             <text x=\"{:.0}\" y=\"18\">{}</text>",
            x + 8.0,
            escape(line.name)
        );
        x += 60.0;
    }
    svg + "\n"
}

/// The values of the horizontal axis, as many as have room.
fn ticks(lines: &[Line<'_>], across: &dyn Fn(f64) -> f64, y: f64) -> String {
    const ROOM: f64 = 52.0;
    let mut svg = String::new();
    let mut free_from = f64::NEG_INFINITY;
    for (x, _) in lines.first().map_or(&[][..], |line| &line.points) {
        let at = across(*x);
        if at >= free_from {
            let label = amount(*x, "");
            let label = label.trim_end().trim_end_matches(".00").replace(".0k", "k");
            let label = label.strip_suffix(".0").unwrap_or(&label);
            svg += &format!(
                "<text class=\"faint\" x=\"{at:.1}\" y=\"{y:.0}\" text-anchor=\"middle\">{label}\
                 </text>"
            );
            free_from = at + ROOM;
        }
    }
    svg + "\n"
}

fn figure(title: &str, height: f64, svg: &str) -> String {
    let title = escape(title);
    format!(
        "<figure><figcaption>{title}</figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" aria-label=\"{title}\">\n{svg}\
         </svg></figure>\n"
    )
}
