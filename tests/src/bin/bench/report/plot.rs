//! The plot: what a packet costs, over how many flows. A panel a direction, both scales logarithmic, so that equal ratios are
//! equal distances.

use std::fmt::Write as _;

use super::scale::Scale;
use crate::{
    results::Results,
    sample::{Contender, Direction},
    statistics::{Case, Spread},
    text::figure,
};

const WIDTH: f64 = 980.0;
const HEIGHT: f64 = 530.0;
/// Upper edge of the panels, and their height.
const TOP: f64 = 86.0;
const TALL: f64 = 330.0;
/// Left edges of the panels, and their width.
const LEFT: [f64; 2] = [70.0, 530.0];
const WIDE: f64 = 425.0;
/// Rows of the legend.
const LEGEND: f64 = 476.0;

const INK: &str = "#222222";
const FAINT: &str = "#666666";
const GRID: &str = "#e3e3e3";

/// How a contender is drawn: colours of Okabe and Ito's palette, which are told apart by those who see fewer, and marks that are
/// told apart without any.
const fn style(contender: Contender) -> (&'static str, Mark) {
    match contender {
        Contender::KernelForwarding => ("#767676", Mark::Diamond),
        Contender::Nftables => ("#d55e00", Mark::Square),
        Contender::XdpOff => ("#56b4e9", Mark::Down),
        Contender::XdpNative => ("#0072b2", Mark::Circle),
        Contender::BareRedirect => ("#009e73", Mark::Up),
    }
}

#[derive(Clone, Copy)]
enum Mark {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
}

/// A measured point: flows, and cost.
type Point = (u32, Spread);

/// The plot as SVG; none if nothing was measured.
pub(super) fn svg(results: &Results) -> Option<String> {
    let lines = Direction::ALL.map(|direction| lines(results, direction));
    let costs = lines.iter().flatten().flat_map(|(_, points)| points).flat_map(|(_, cost)| [cost.low, cost.high]);
    let costs: Vec<f64> = costs.filter(|cost| *cost > 0.0).collect();
    let (least, most) = (costs.iter().copied().reduce(f64::min)?, costs.iter().copied().reduce(f64::max)?);
    let y = Scale::over(least, most, TOP + TALL, TOP);
    let flows = || results.flows.iter().copied().map(f64::from);
    let mut svg = frame(results);
    for ((left, direction), lines) in LEFT.into_iter().zip(Direction::ALL).zip(&lines) {
        let (first, last) = (flows().reduce(f64::min)?, flows().reduce(f64::max)?);
        let x = Scale::over(first, last, left + 18.0, left + WIDE - 18.0);
        axes(&mut svg, left, direction, &x, &y);
        for (contender, points) in lines {
            line(&mut svg, *contender, points, &x, &y);
        }
    }
    legend(&mut svg, &results.contenders);
    svg.push_str("</svg>\n");
    Some(svg)
}

/// What there is to draw of a direction.
fn lines(results: &Results, direction: Direction) -> Vec<(Contender, Vec<Point>)> {
    let point = |contender, flows| {
        let cost = results.samples.cost(Case { contender, direction, flows })?;
        (cost.low > 0.0).then_some((flows, cost))
    };
    let line = |contender: &Contender| {
        (*contender, results.flows.iter().filter_map(|flows| point(*contender, *flows)).collect())
    };
    results.contenders.iter().map(line).collect()
}

fn frame(results: &Results) -> String {
    let kernel = &results.machine.kernel;
    let cpu = escape(&results.machine.cpu);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"DejaVu Sans, Verdana, Arial, sans-serif\" role=\"img\">\n\
         <title>Gateway CPU time per packet over flows</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"27\" font-size=\"17\" font-weight=\"bold\" fill=\"{INK}\">What a packet costs the gateway</text>\n\
         <text x=\"16\" y=\"46\" font-size=\"12\" fill=\"{FAINT}\">CPU nanoseconds per 64-byte UDP packet of an established session, \
         median and quartiles, both scales logarithmic; {cpu}, Linux {kernel}</text>\n",
        kernel = escape(kernel)
    )
}

fn axes(svg: &mut String, left: f64, direction: Direction, x: &Scale, y: &Scale) {
    let (right, bottom) = (left + WIDE, TOP + TALL);
    let title = match direction {
        Direction::Out => "from clients to the internet",
        Direction::Back => "replies",
    };
    text(svg, (left + WIDE / 2.0, TOP - 8.0), "middle", 13, INK, title);
    for value in y.ticks() {
        let at = y.at(value);
        rule(svg, (left, at), (right, at), GRID);
        text(svg, (left - 7.0, at + 4.0), "end", 12, FAINT, &figure(value, 0));
    }
    text(svg, (left - 7.0, TOP - 14.0), "end", 12, FAINT, "ns");
    for value in x.decades() {
        let at = x.at(value);
        rule(svg, (at, TOP), (at, bottom), GRID);
        text(svg, (at, bottom + 18.0), "middle", 12, FAINT, &figure(value, 0));
    }
    rule(svg, (left, bottom), (right, bottom), FAINT);
    rule(svg, (left, TOP), (left, bottom), FAINT);
    text(svg, (left + WIDE / 2.0, bottom + 37.0), "middle", 12, INK, "flows");
}

fn line(svg: &mut String, contender: Contender, points: &[Point], x: &Scale, y: &Scale) {
    let (colour, mark) = style(contender);
    let path: Vec<String> =
        points.iter().map(|(flows, cost)| format!("{:.1},{:.1}", x.at(f64::from(*flows)), y.at(cost.median))).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.2\" stroke-linejoin=\"round\"/>",
        path.join(" ")
    );
    for (flows, cost) in points {
        let at = x.at(f64::from(*flows));
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {:.1}V{:.1}\" stroke=\"{colour}\" stroke-width=\"1.2\"/>",
            y.at(cost.low),
            y.at(cost.high)
        );
        point(svg, mark, colour, (at, y.at(cost.median)));
    }
}

fn legend(svg: &mut String, contenders: &[Contender]) {
    for (index, contender) in contenders.iter().enumerate() {
        let (colour, mark) = style(*contender);
        let (left, at) = (80.0 + 290.0 * (index % 3) as f64, LEGEND + 24.0 * (index / 3) as f64);
        let _ = writeln!(svg, "<path d=\"M{left} {at}h34\" stroke=\"{colour}\" stroke-width=\"2.2\"/>");
        point(svg, mark, colour, (left + 17.0, at));
        text(svg, (left + 43.0, at + 4.5), "start", 13, INK, contender.name());
    }
}

fn point(svg: &mut String, mark: Mark, colour: &str, (x, y): (f64, f64)) {
    let shape = match mark {
        Mark::Circle => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.6\""),
        Mark::Square => format!("<rect x=\"{:.1}\" y=\"{:.1}\" width=\"8.4\" height=\"8.4\"", x - 4.2, y - 4.2),
        Mark::Diamond => format!("<path d=\"M{x:.1} {:.1}l5.6 5.6l-5.6 5.6l-5.6 -5.6z\"", y - 5.6),
        Mark::Up => format!("<path d=\"M{x:.1} {:.1}l5.6 9.6h-11.2z\"", y - 6.0),
        Mark::Down => format!("<path d=\"M{x:.1} {:.1}l5.6 -9.6h-11.2z\"", y + 6.0),
    };
    let _ = writeln!(svg, "{shape} fill=\"{colour}\" stroke=\"#ffffff\" stroke-width=\"1.2\"/>");
}

fn rule(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
    let _ = writeln!(svg, "<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"{colour}\"/>");
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, size: u8, colour: &str, text: &str) {
    let text = escape(text);
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{colour}\">{text}</text>"
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        machine::Machine,
        statistics::tests::{CASE, sample},
    };

    fn results() -> Results {
        let machine = Machine { cpu: "A & B <1>".to_owned(), ..Machine::default() };
        let mut results = Results::new(machine, vec![1, 1_000], vec![Contender::Nftables, Contender::XdpNative]);
        for flows in [1, 1_000] {
            let case = CASE.over(flows);
            results.samples.extend(vec![sample(case, 0, 1700.0), sample(case.of(Contender::XdpNative), 0, 200.0)]);
        }
        results
    }

    #[test]
    fn every_contender_has_a_line_and_an_entry_in_the_legend() {
        let svg = svg(&results()).unwrap();
        for contender in [Contender::Nftables, Contender::XdpNative] {
            assert_eq!(svg.matches(contender.name()).count(), 1, "{svg}");
            assert!(svg.matches(style(contender).0).count() >= 4, "{svg}");
        }
        assert!(!svg.contains(Contender::BareRedirect.name()));
    }

    #[test]
    fn text_of_the_machine_does_not_break_it() {
        let svg = svg(&results()).unwrap();
        assert!(svg.contains("A &amp; B &lt;1&gt;") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn what_costs_more_is_higher_up() {
        let results = results();
        let lines = lines(&results, Direction::Out);
        let y = Scale::over(200.0, 1700.0, 300.0, 100.0);
        let height = |at: usize| y.at(lines[at].1[0].1.median);
        assert!(height(0) < height(1));
    }

    #[test]
    fn nothing_measured_is_no_plot() {
        assert_eq!(svg(&Results::new(Machine::default(), vec![1], Contender::ALL.to_vec())), None);
    }
}
