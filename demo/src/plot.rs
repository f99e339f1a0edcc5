//! The plot: answered items over time, one line per worker, the faults marked.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::prelude::*;

use crate::faults::Fault;
use crate::load::Settled;
use crate::task::Language;

/// Draws the plot into an SVG file.
///
/// # Errors
/// Those of the drawing library and of the file.
pub(crate) fn draw(
    file: &Path,
    settled: &[Settled],
    faults: &[Fault],
) -> Result<(), Box<dyn std::error::Error>> {
    let lines = lines(settled);
    let end = settled.iter().map(|one| one.at.as_secs_f64()).fold(0.1, f64::max) * 1.02;
    let top = lines.values().map(Vec::len).max().unwrap_or(1) as f64 * 1.12;

    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Items answered, by worker", ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .y_desc("items")
        .light_line_style(WHITE)
        .x_label_formatter(&|x| format!("{x:.1}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;

    for Fault { what, at, back } in faults {
        let (at, back) = (at.as_secs_f64(), back.as_secs_f64());
        let shade = Rectangle::new([(at, 0.0), (back, top)], RED.mix(0.12).filled());
        chart.draw_series([shade])?;
        chart.draw_series(LineSeries::new([(at, 0.0), (at, top)], RED.stroke_width(2)))?;
        let style = ("sans-serif", 14).into_font().color(&RED);
        chart.draw_series([Text::new(
            format!("kill -9: {what}"),
            (at + end * 0.006, top * 0.98),
            style,
        )])?;
    }
    for (language, times) in lines {
        let colour = colour(language);
        let points = times.iter().enumerate().map(|(index, at)| (*at, (index + 1) as f64));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(format!("{} {}", language.name(), language.key()))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    area.present()?;
    Ok(())
}

/// The times of right answers in order, for each language.
fn lines(settled: &[Settled]) -> BTreeMap<Language, Vec<f64>> {
    let mut lines: BTreeMap<Language, Vec<f64>> = BTreeMap::new();
    for one in settled.iter().filter(|one| one.result.is_ok()) {
        lines.entry(one.language).or_default().push(one.at.as_secs_f64());
    }
    for times in lines.values_mut() {
        times.sort_by(f64::total_cmp);
    }
    lines
}

const fn colour(language: Language) -> RGBColor {
    match language {
        Language::Rust => RGBColor(183, 65, 14),
        Language::Node => RGBColor(60, 135, 58),
        Language::Python => RGBColor(53, 114, 165),
    }
}

const SIZE: (u32, u32) = (960, 540);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::Answer;

    #[test]
    fn the_plot_names_workers_and_faults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plot.svg");
        let settled: Vec<_> = (1..=50)
            .map(|number| Settled {
                language: if number % 2 == 0 { Language::Rust } else { Language::Python },
                number,
                at: Duration::from_millis(u64::from(number) * 10),
                latency: Duration::from_millis(1),
                result: Ok(Answer { attempt: 1 }),
            })
            .collect();
        let fault = Fault {
            what: "hub".to_owned(),
            at: Duration::from_millis(200),
            back: Duration::from_millis(300),
        };
        draw(&file, &settled, &[fault]).unwrap();
        let svg = std::fs::read_to_string(&file).unwrap();
        for shown in ["<svg", "kill -9: hub", "rust Text/Reverse", "python Number/DigitSum"] {
            assert!(svg.contains(shown), "{shown} is missing");
        }
    }
}
