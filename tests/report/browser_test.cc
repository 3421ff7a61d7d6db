#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "harness/report/html_page.h"
#include "tests/report/example_experiment.h"
#include "tests/support/support.h"

// The page of an experiment in headless Chromium, as a person uses it.

namespace harness::test {
namespace {

class BrowserTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto store = ResultStore::open(folder_ / "results.sqlite");
    ExampleExperiment experiment(*store);
    put_three_methods(experiment);
    page_ = to_html_page(*store, "trial");
  }

  /// What `script` hands to say(...) after the page has loaded, one line each; an error of the page
  /// is a line too.
  /// @param frame  width of the page in pixels
  std::string said(const std::string& script, int frame = 1200, const std::string& more = "") {
    // In a frame, because the window of a headless browser is not as narrow as a phone. srcdoc
    // makes the page the same origin as the script.
    write_file(folder_ / "page.html", page_);
    std::string quoted;
    for (char c : page_) quoted += c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
    write_file(folder_ / "test.html", fmt::format(R"(<!doctype html><meta charset="utf-8">
<iframe id="frame" style="width:{}px;height:900px;border:0" srcdoc="{}"></iframe><pre id="said"></pre>
<script>
const out = document.getElementById('said');
const say = (line) => {{ out.textContent += line + '\n'; }};
const frame = document.getElementById('frame');
frame.addEventListener('load', () => {{
  const page = frame.contentDocument, view = frame.contentWindow;
  view.addEventListener('error', (event) => say('ERROR ' + event.message));
  try {{ {} }} catch (error) {{ say('ERROR ' + error); }}
  say('END');
}});
</script>)",
                                                  frame, quoted, script));
    const int status = std::system(
        fmt::format("chromium --headless --no-sandbox --disable-gpu --virtual-time-budget=10000 "
                    "--user-data-dir='{0}/profile' {1} --dump-dom '{0}/test.html' >'{0}/dom.html' "
                    "2>'{0}/errors.txt'",
                    folder_.path().string(), more)
            .c_str());
    EXPECT_EQ(status, 0) << read_file(folder_ / "errors.txt");
    const std::string dom = read_file(folder_ / "dom.html");
    const std::string begin = "<pre id=\"said\">";
    const std::size_t at = dom.find(begin);
    if (at == std::string::npos) return "no page: " + read_file(folder_ / "errors.txt");
    return dom.substr(at + begin.size(), dom.find("</pre>", at) - at - begin.size());
  }

  TemporaryFolder folder_;
  std::string page_;
};

TEST_F(BrowserTest, TablesAreSortedByTheirHeadings) {
  EXPECT_EQ(said(R"(
    const table = page.getElementById('main-table');
    const labels = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent).join(',');
    const heading = [...table.querySelectorAll('thead th')].find((each) => each.textContent.startsWith('refusal'));
    say(labels() + ' ' + heading.getAttribute('aria-sort'));
    heading.querySelector('button').click();
    say(labels() + ' ' + heading.getAttribute('aria-sort'));
    heading.querySelector('button').click();
    say(labels() + ' ' + heading.getAttribute('aria-sort'));
    heading.querySelector('button').click();
    say(labels() + ' ' + heading.getAttribute('aria-sort'));
  )"),
            "16 bits,RTN,AAQ none\nRTN,AAQ,16 bits ascending\n16 bits,AAQ,RTN descending\n"
            "16 bits,RTN,AAQ none\nEND\n");
}

TEST_F(BrowserTest, ValuesAppearUnderThePointer) {
  const std::string lines = said(R"(
    const point = page.querySelector('#plot-metrics .point');
    point.dispatchEvent(new view.PointerEvent('pointerover', { bubbles: true }));
    say(page.getElementById('tip').hidden + ' ' + page.getElementById('tip').textContent);
    page.body.dispatchEvent(new view.PointerEvent('pointerover', { bubbles: true }));
    say(page.getElementById('tip').hidden);
  )");
  EXPECT_EQ(lines,
            "false 16 bits: perplexity 3.0040 (2.9941 to 3.0139), 3 training seeds\ntrue\nEND\n");
}

TEST_F(BrowserTest, ANumberLeadsToItsRun) {
  EXPECT_EQ(said(R"(
    const link = page.querySelector('#main-table td a');
    const row = page.getElementById(link.getAttribute('href').slice(1));
    say(row.tagName + ' ' + row.open);
    view.location.hash = link.getAttribute('href');
    view.dispatchEvent(new view.HashChangeEvent('hashchange'));
    say(row.open);
  )"),
            "DETAILS false\ntrue\nEND\n");
}

const char* const kWiderThanItsWindow = R"(
  const wide = [...page.querySelectorAll('main *')].filter((each) =>
    !each.closest('.scroll') && !each.closest('svg') && each.getBoundingClientRect().right > view.innerWidth + 1);
  say(page.documentElement.scrollWidth <= view.innerWidth);
  for (const each of wide) say(each.outerHTML.slice(0, 100));
)";

TEST_F(BrowserTest, NoPageIsWiderThanItsWindow) {
  for (int width : {320, 390, 800, 1600})
    EXPECT_EQ(said(kWiderThanItsWindow, width), "true\nEND\n") << width;
}

/// WCAG 2's contrast of every text that is seen with what is behind it.
const char* const kLeastContrast = R"(
  const luminance = (color) => {
    const parts = color.match(/[\d.]+/g).map(Number);
    if (parts.length > 3 && parts[3] === 0) return null;
    const [r, g, b] = parts.map((each) => each / 255).map((each) => each <= .04045 ? each / 12.92 : ((each + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = luminance(view.getComputedStyle(at).backgroundColor);
      if (found !== null) return found;
    }
    return 1;
  };
  let least = 99, where = '';
  for (const each of page.querySelectorAll('h1,h2,h3,h4,p,a,li,th,td,button,summary,figcaption,caption,text,.point,code,pre')) {
    if (each.matches('svg a')) continue;  // draws nothing itself
    const style = view.getComputedStyle(each);
    const drawn = each.closest('svg') ? style.fill : style.color;
    const front = luminance(drawn), back = behind(each);
    if (front === null) continue;
    const contrast = (Math.max(front, back) + .05) / (Math.min(front, back) + .05);
    // Marks of data are no text: 3 to 1 (WCAG 1.4.11).
    const relative = each.classList.contains('point') ? contrast / 3 : contrast / 4.5;
    if (relative < least) { least = relative; where = each.outerHTML.slice(0, 80) + ' ' + contrast; }
  }
  say(least >= 1 ? 'readable' : where);
  say(view.matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
)";

TEST_F(BrowserTest, EveryTextIsReadableInLight) {
  EXPECT_EQ(said(kLeastContrast), "readable\nlight\nEND\n");
}

TEST_F(BrowserTest, EveryTextIsReadableInDark) {
  EXPECT_EQ(said(kLeastContrast, 1200, "--blink-settings=preferredColorScheme=0"),
            "readable\ndark\nEND\n");
}

/// Pages under results/, which have what the example above lacks: many runs, seeds, plots and
/// items.
class CommittedPageTest : public BrowserTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    page_ = read_file(source_folder() / "results" / (std::string(GetParam()) + ".html"));
  }
};

TEST_P(CommittedPageTest, IsReadableAndNoWiderThanAPhone) {
  EXPECT_EQ(said(kWiderThanItsWindow, 390), "true\nEND\n");
  EXPECT_EQ(said(kLeastContrast), "readable\nlight\nEND\n");
}

TEST_P(CommittedPageTest, EveryNumberLeadsToItsRun) {
  EXPECT_EQ(said(R"(
    const links = [...page.querySelectorAll('#main-table td a')];
    say(links.length > 10);
    say(links.every((link) => page.getElementById(link.getAttribute('href').slice(1))));
  )"),
            "true\ntrue\nEND\n");
}

INSTANTIATE_TEST_SUITE_P(Results, CommittedPageTest,
                         ::testing::Values("w4_smollm2_trained", "ablation_push_weight_world",
                                           "smollm2_tasks"));

TEST_F(BrowserTest, TheKeyboardAndScreenReadersFindTheirWay) {
  EXPECT_EQ(said(R"(
    say([...page.querySelectorAll('h1,h2,h3,h4')].every((each, i, all) =>
      i === 0 ? each.tagName === 'H1' : each.tagName[1] - all[i - 1].tagName[1] <= 1));
    say([...page.querySelectorAll('svg:not(.key)')].every((each) => each.getAttribute('role') === 'img' && each.getAttribute('aria-label')));
    say([...page.querySelectorAll('table')].every((each) => each.caption && each.querySelector('tbody th[scope=row]') &&
      [...each.querySelectorAll('thead tr:last-child th')].every((th) => th.scope === 'col' && th.hasAttribute('aria-sort') && th.querySelector('button'))));
    say([...page.querySelectorAll('a[href]:not([tabindex]), button, input, summary')].every((each) => each.tabIndex === 0));
    say(page.documentElement.lang + ' ' + page.title);
    const ids = [...page.querySelectorAll('[id]')].map((each) => each.id);
    say(new Set(ids).size === ids.length);
  )"),
            "true\ntrue\ntrue\ntrue\nen trial\ntrue\nEND\n");
}

TEST_F(BrowserTest, ThePrintedPageLeavesOutWhatIsForTheScreen) {
  EXPECT_EQ(said(R"(
    const display = () => ['nav', '.skip', '#runs', '.values', '#table'].map((each) =>
      view.getComputedStyle(page.querySelector(each)).display).join(' ');
    say(display());
    for (const rule of page.styleSheets[0].cssRules)
      if (rule.media && rule.media.mediaText === 'print') rule.media.mediaText = 'screen';
    say(display());
  )"),
            "flex block block block block\nnone none none none block\nEND\n");
  EXPECT_EQ(std::system(fmt::format("chromium --headless --no-sandbox --disable-gpu "
                                    "--user-data-dir='{0}/profile' --print-to-pdf='{0}/page.pdf' "
                                    "'{0}/page.html' >'{0}/errors.txt' 2>&1",
                                    folder_.path().string())
                            .c_str()),
            0);
  const std::string pdf = read_file(folder_ / "page.pdf");
  EXPECT_THAT(pdf.substr(0, 5), "%PDF-");
  EXPECT_GT(pdf.size(), 20000u);
}

}  // namespace
}  // namespace harness::test
