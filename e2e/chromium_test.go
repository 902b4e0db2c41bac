package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	_ "image/png"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/multi/qrcode"
)

// patience is how long a page may take before the test gives up.
const patience = 30 * time.Second

// The one Chromium of this test run. Each journey gets a browser context of its
// own, which is as good as a browser of its own.
var chromium struct {
	once  sync.Once
	ctx   context.Context
	err   error
	close []context.CancelFunc
}

func TestMain(m *testing.M) {
	code := m.Run()
	if findChromium() == "" && flag.Lookup("test.list").Value.String() == "" {
		loudly("anteroom/e2e: SKIPPED every journey in a real browser: there is no Chromium on this machine.\n" +
			"anteroom/e2e: the same journeys ran over plain HTTP. `make test` installs what is missing, or says what it is.\n")
	}
	if build.path != "" {
		_ = os.RemoveAll(filepath.Dir(build.path))
	}
	for i := len(chromium.close) - 1; i >= 0; i-- {
		chromium.close[i]()
	}
	os.Exit(code)
}

// loudly says something that must not be missed. go test throws away what a
// passing package prints, so it goes to the terminal as well, if there is one.
func loudly(message string) {
	_, _ = os.Stderr.WriteString(message)
	if tty, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0); err == nil {
		_, _ = tty.WriteString(message)
		_ = tty.Close()
	}
}

func findChromium() string {
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}
	if own := os.Getenv("ANTEROOM_CHROME"); own != "" {
		names = []string{own}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// browser starts Chromium once. Without one the test is skipped, unless `make
// test` asked for no skipping.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := findChromium()
	if path == "" {
		if os.Getenv("ANTEROOM_E2E") == "require" {
			t.Fatal("there is no Chromium, and this run must not go without: install chromium, or set ANTEROOM_CHROME")
		}
		t.Skip("SKIPPED: there is no Chromium on this machine, so no page was looked at in a real browser. `make test` installs it on Debian and Ubuntu.")
	}
	chromium.once.Do(func() {
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
			chromedp.Flag("disable-search-engine-choice-screen", true),
			// Nothing of ours needs another machine, and nothing may reach one.
			chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1"),
			chromedp.WindowSize(1280, 900))
		allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, cancel := chromedp.NewContext(allocator)
		chromium.close = append(chromium.close, stop, cancel)
		chromium.ctx, chromium.err = ctx, chromedp.Do(ctx)
	})
	if chromium.err != nil {
		t.Fatalf("start %s: %v", path, chromium.err)
	}
	return chromium.ctx
}

// chromiumTab is a Tab of Chromium.
type chromiumTab struct {
	t       *testing.T
	ctx     context.Context
	scripts bool
	visit   int // which document is shown: a new one lacks the mark of the last
	shots   *int
}

func newChromium(t *testing.T, scripts bool) Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser(t), chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	return newTab(t, ctx, scripts, new(int))
}

func newTab(t *testing.T, ctx context.Context, scripts bool, shots *int) *chromiumTab {
	t.Helper()
	c := &chromiumTab{t: t, ctx: ctx, scripts: scripts, shots: shots}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	c.watch()
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts}); err != nil {
		t.Fatalf("switch JavaScript: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.keep("failed")
		}
	})
	return c
}

// watch fails the test for what a developer would see in the console: scripts
// that threw, resources that the page's own policy forbids.
func (c *chromiumTab) watch() {
	var mu sync.Mutex
	var complaints []string
	complain := func(s string) { mu.Lock(); complaints = append(complaints, s); mu.Unlock() }
	if err := chromedp.Listen(c.ctx, func(ev any) {
		switch ev := ev.(type) {
		case *log.EventEntryAdded:
			// A page with a 4xx status is logged as a resource that failed to
			// load; journeys into dead ends look at such pages on purpose.
			// A restart refuses connections for a moment.
			expected := strings.HasPrefix(ev.Entry.Text, "Failed to load resource: the server responded") ||
				strings.HasPrefix(ev.Entry.Text, "Failed to load resource: net::ERR_CONNECTION_REFUSED")
			if ev.Entry.Level == log.EntryLevelError && !expected {
				complain(ev.Entry.Text + " (" + ev.Entry.URL + ")")
			}
		case *runtime.EventExceptionThrown:
			complain(ev.ExceptionDetails.Text)
		}
	}); err != nil {
		c.t.Fatalf("listen to the console: %v", err)
	}
	c.t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range complaints {
			c.t.Errorf("the console complains: %s", s)
		}
	})
}

// eval runs an expression in the page, even where the page's own scripts are off.
func eval[T any](c *chromiumTab, expression string) T {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		c.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

func quote(s string) string { return strconv.QuoteToASCII(s) }

func element(id string) string { return "document.getElementById(" + quote(id) + ")" }

// leave runs act and waits until another document is there and complete.
func (c *chromiumTab) leave(what string, act func(ctx context.Context) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	c.visit++
	mark := strconv.Itoa(c.visit)
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("(window.__visit = "+mark+") > 0")); err != nil {
		c.t.Fatalf("%s: mark the page: %v", what, err)
	}
	if err := act(ctx); err != nil {
		c.t.Fatalf("%s on %s: %v", what, c.where(), err)
	}
	for {
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("window.__visit !== "+mark+" && document.readyState === 'complete'"))
		if err == nil && there {
			break
		}
		select {
		case <-ctx.Done():
			c.t.Fatalf("%s: no new page within %s, still at %s", what, patience, c.where())
		case <-time.After(10 * time.Millisecond):
		}
	}
	if strings.HasPrefix(c.where(), "chrome-error:") {
		c.t.Fatalf("%s: the browser shows an error page: %s", what, eval[string](c, "document.body.innerText"))
	}
	if os.Getenv("ANTEROOM_SHOTS") != "" {
		c.Shot("")
	}
}

func (c *chromiumTab) where() string {
	ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second)
	defer cancel()
	at, err := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href"))
	if err != nil {
		return "an unknown page"
	}
	return at
}

func (c *chromiumTab) Open(address string) {
	c.t.Helper()
	c.leave("open "+address, func(ctx context.Context) error {
		return chromedp.Do(ctx, chromedp.Navigate(address))
	})
}

func (c *chromiumTab) Back() {
	c.t.Helper()
	c.leave("go back", func(ctx context.Context) error {
		history, err := chromedp.Run(ctx, chromedp.NavigationEntries())
		if err != nil {
			return err
		}
		if history.CurrentIndex == 0 {
			return errors.New("there is nothing to go back to")
		}
		// Not chromedp.NavigateBack: a page from the back/forward cache is not loaded again.
		_, err = chromedp.Call(ctx, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: history.Entries[history.CurrentIndex-1].ID})
		return err
	})
}

func (c *chromiumTab) Reload() {
	c.t.Helper()
	c.leave("reload", func(ctx context.Context) error { return chromedp.Do(ctx, chromedp.Reload()) })
}

// Press types as a person does, and clicks with the mouse. A page may send a
// complete code by itself; then there is nothing left to click.
func (c *chromiumTab) Press(id string, fields ...string) {
	c.t.Helper()
	if !c.Has(id) {
		c.t.Fatalf("there is no #%s on %s: %s", id, c.where(), c.Text("error"))
	}
	c.leave("press #"+id, func(ctx context.Context) error {
		for i := 0; i < len(fields); i += 2 {
			if err := c.fill(ctx, id, fields[i], fields[i+1]); err != nil {
				return fmt.Errorf("fill in %s: %w", fields[i], err)
			}
		}
		return c.click(ctx, id)
	})
}

// click finds the middle of an element (of its first line, if it has several), makes sure that nothing lies over it,
// and clicks with the mouse. An element that is gone, because the page sent
// itself, is no error: another page is about to come.
func (c *chromiumTab) click(ctx context.Context, id string) error {
	type place struct {
		State string  `json:"state"`
		X     float64 `json:"x"`
		Y     float64 `json:"y"`
	}
	at, err := chromedp.Run(ctx, chromedp.Evaluate[place](fmt.Sprintf(`(() => {
		const e = %s;
		if (window.__visit !== %d || !e || e.form && e.form.dataset.sent) return {state: "gone", x: 0, y: 0};
		e.scrollIntoView({block: "center", behavior: "instant"});
		const r = e.getClientRects()[0] || e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
		const top = document.elementFromPoint(x, y);
		return {state: r.width > 0 && top && (e.contains(top) || top.contains(e)) ? "clear" : "covered", x, y};
	})()`, element(id), c.visit)))
	switch {
	case wentAway(err):
		return nil
	case err != nil:
		return err
	case at.State == "covered":
		return fmt.Errorf("#%s is invisible, or something lies over it", id)
	case at.State == "clear":
		if err := chromedp.Do(ctx, chromedp.MouseClickXY(at.X, at.Y)); !wentAway(err) {
			return err
		}
	}
	return nil
}

// wentAway: the page sent itself while it was looked at; another one is coming,
// and whoever waits for it says if it does not.
func wentAway(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "context") || strings.Contains(err.Error(), "target navigated"))
}

func (c *chromiumTab) fill(ctx context.Context, button, name, value string) error {
	find := fmt.Sprintf(`(() => {
		const form = %s.form;
		const field = form && form.elements.namedItem(%s);
		if (!field) return "missing";
		if (field.type === "checkbox") { if (!field.checked) field.click(); return "done"; }
		field.focus(); field.select();
		return "focused";
	})()`, element(button), quote(name))
	state, err := chromedp.Run(ctx, chromedp.Evaluate[string](find))
	if err != nil {
		return err
	}
	switch state {
	case "missing":
		return fmt.Errorf("%w: the form of #%s has no field %q", ErrNoSuchElement, button, name)
	case "done":
		return nil
	}
	if value == "" {
		_, err = chromedp.Run(ctx, chromedp.Evaluate[string]("document.activeElement.value = ''"))
		return err
	}
	_, err = chromedp.Call(ctx, input.InsertText, input.InsertTextParams{Text: value})
	return err
}

func (c *chromiumTab) URL() *url.URL {
	c.t.Helper()
	u, err := url.Parse(c.where())
	if err != nil {
		c.t.Fatal(err)
	}
	return u
}

func (c *chromiumTab) Has(id string) bool {
	c.t.Helper()
	return eval[bool](c, element(id)+" !== null")
}

func (c *chromiumTab) Text(id string) string {
	c.t.Helper()
	return strings.Join(strings.Fields(eval[string](c, "("+element(id)+" || {textContent: ''}).textContent")), " ")
}

func (c *chromiumTab) Items(id string) []string {
	c.t.Helper()
	items := eval[[]string](c, "[..."+element(id)+".querySelectorAll('li')].map((li) => li.textContent)")
	for i := range items {
		items[i] = strings.Join(strings.Fields(items[i]), " ")
	}
	return items
}

func (c *chromiumTab) Href(id string) string {
	c.t.Helper()
	return eval[string](c, "("+element(id)+" || {getAttribute: () => ''}).getAttribute('href') || ''")
}

func (c *chromiumTab) Field(name string) string {
	c.t.Helper()
	return eval[string](c, "(document.querySelector('input[name="+name+"]') || {value: ''}).value")
}

func (c *chromiumTab) Ways() int {
	c.t.Helper()
	return eval[int](c, "[...document.querySelectorAll('main a[href], main button')].filter((e) => e.checkVisibility()).length")
}

// Scan takes a picture of the page and reads the QR in it, as a phone does. The
// text beside it must say the same.
func (c *chromiumTab) Scan() string {
	c.t.Helper()
	if !c.Has("totp-qr") {
		c.t.Fatalf("no QR on %s: %s", c.where(), c.Text("error"))
	}
	uri, err := "", error(nil)
	for scale := 1; scale <= 3; scale++ { // a phone comes closer
		if uri, err = readQR(c.picture(float64(scale))); err == nil {
			break
		}
	}
	if err != nil {
		c.t.Fatalf("read the QR of %s: %v", c.where(), err)
	}
	secret, _, _, err := Scan(uri)
	if err != nil {
		c.t.Fatal(err)
	}
	if text := strings.ReplaceAll(c.Text("totp-secret"), " ", ""); text != secret {
		c.t.Errorf("the QR says %s, the text %s", secret, text)
	}
	return secret
}

// picture is a PNG of the whole page, magnified.
func (c *chromiumTab) picture(scale float64) []byte {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	size := eval[[]float64](c, "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
	beyond := true
	shot, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: &beyond,
		Clip: &page.Viewport{Width: size[0], Height: size[1], Scale: scale},
	})
	if err != nil {
		c.t.Fatalf("take a picture: %v", err)
	}
	return shot.Data
}

// readQR decodes the QR code somewhere in a PNG, with zxing, which shares
// nothing with what drew it.
func readQR(picture []byte) (string, error) {
	img, _, err := image.Decode(bytes.NewReader(picture))
	if err != nil {
		return "", err
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		return "", err
	}
	// The reader for several codes looks at every triple of corners; the other
	// one takes its first guess, which is wrong for one code in thirty.
	found, err := qrcode.NewQRCodeMultiReader().DecodeMultiple(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true})
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%d codes in one picture", len(found))
	}
	return found[0].GetText(), nil
}

func (c *chromiumTab) New() Tab {
	c.t.Helper()
	ctx, cancel := chromedp.NewContext(c.ctx)
	c.t.Cleanup(cancel)
	return newTab(c.t, ctx, c.scripts, c.shots)
}
