package templates

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// newBrowser starts a headless Chromium for the test, or skips it.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("SKIPPED: no Chromium found; this test looks at pages in a real browser")
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.DisableGPU)
	t.Cleanup(cancel)
	browser, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	browser, cancel = context.WithTimeout(browser, 10*time.Minute)
	t.Cleanup(cancel)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return browser
}

// serveStories serves the storybook and the mails under /story/<name>, and
// sends the body of each posted form to posts.
func serveStories(t *testing.T) (url string, names []string, posts <-chan string) {
	t.Helper()
	r := newTestRenderer(t)
	mux := http.NewServeMux()
	mux.Handle("/static/", r.Static())
	for _, s := range Storybook() {
		names = append(names, s.Name)
		mux.HandleFunc("/story/"+s.Name, func(w http.ResponseWriter, _ *http.Request) {
			if err := r.Page(w, http.StatusOK, s.Page); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	for name, m := range mailStories() {
		names = append(names, "mail-"+name)
		mux.HandleFunc("/story/mail-"+name, func(w http.ResponseWriter, _ *http.Request) {
			message, err := r.Mail(m)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
			fmt.Fprint(w, message.HTML)
		})
	}
	sent := make(chan string, 100)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.NotFound(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		sent <- string(body)
		time.Sleep(300 * time.Millisecond) // long enough for a second click
		fmt.Fprint(w, "<title>posted</title>")
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL, names, sent
}

func do(t *testing.T, browser context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(browser, steps...); err != nil {
		t.Fatal(err)
	}
}

// open waits until the field that asks for the focus has it.
func open(t *testing.T, browser context.Context, url string) {
	t.Helper()
	do(t, browser, chromedp.Navigate(url))
	eventually(t, browser, `!document.querySelector("[autofocus]") || document.activeElement.matches("[autofocus]")`)
}

func evaluate[T any](t *testing.T, browser context.Context, expression string) T {
	t.Helper()
	value, err := chromedp.Run(browser, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// eventually waits for a condition of the page that a timer brings about.
func eventually(t *testing.T, browser context.Context, expression string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if evaluate[bool](t, browser, expression) {
			return
		}
	}
	t.Fatalf("never true: %s", expression)
}

// receive takes the next posted form, and waits for the page that answers it.
func receive(t *testing.T, browser context.Context, posts <-chan string, want string) {
	t.Helper()
	select {
	case got := <-posts:
		if got != want {
			t.Errorf("posted %q, want %q", got, want)
		}
		eventually(t, browser, `document.title === "posted"`)
	case <-time.After(10 * time.Second):
		t.Fatalf("nothing was posted, want %q", want)
	}
}

func receiveNothing(t *testing.T, posts <-chan string) {
	t.Helper()
	select {
	case got := <-posts:
		t.Errorf("posted %q, want nothing", got)
	case <-time.After(700 * time.Millisecond):
	}
}

func TestBrowserRefusesNothingAndControlsAreLargeEnough(t *testing.T) {
	browser := newBrowser(t)
	url, names, _ := serveStories(t)
	watch := page.AddScriptToEvaluateOnNewDocumentParams{Source: `
		window.complaints = [];
		addEventListener("securitypolicyviolation", (e) => complaints.push(e.violatedDirective + " " + e.blockedURI));
		addEventListener("error", (e) => complaints.push(String(e.message || e.target.src)), true);`}
	if _, err := chromedp.Call(browser, page.AddScriptToEvaluateOnNewDocument, watch); err != nil {
		t.Fatal(err)
	}
	do(t, browser, chromedp.EmulateViewport(360, 740))
	for _, name := range names {
		open(t, browser, url+"/story/"+name)
		if got := evaluate[[]string](t, browser, `complaints`); len(got) != 0 {
			t.Errorf("%s: the browser refused %q", name, got)
		}
		if strings.HasPrefix(name, "mail-") {
			continue
		}
		small := evaluate[[]string](t, browser, `[...document.querySelectorAll("button, summary, .button, .mini, .check, input:not([type=hidden], [type=checkbox], .aside)")]
			.filter((e) => e.getBoundingClientRect().height < 44 && e.checkVisibility()).map((e) => e.outerHTML.slice(0, 80))`)
		if len(small) != 0 {
			t.Errorf("%s: less than 44 px high: %q", name, small)
		}
		if wide := evaluate[int](t, browser, `document.documentElement.scrollWidth`); wide > 360 {
			t.Errorf("%s is %d px wide on a phone", name, wide)
		}
	}
}

func TestQRIsLargeAndOnWhiteInTheDark(t *testing.T) {
	browser := newBrowser(t)
	url, _, _ := serveStories(t)
	dark := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}
	if _, err := chromedp.Call(browser, emulation.SetEmulatedMedia, dark); err != nil {
		t.Fatal(err)
	}
	for _, width := range []int64{320, 360, 1280} {
		do(t, browser, chromedp.EmulateViewport(width, 740), chromedp.Navigate(url+"/story/enroll"))
		if got := evaluate[float64](t, browser, `document.getElementById("totp-qr").getBoundingClientRect().width`); got < 200 {
			t.Errorf("QR is %.0f px wide at %d, want 200", got, width)
		}
		if got := evaluate[string](t, browser, `getComputedStyle(document.querySelector(".qr")).backgroundColor`); got != "rgb(255, 255, 255)" {
			t.Errorf("QR stands on %s, want white", got)
		}
		above := evaluate[bool](t, browser, `document.getElementById("totp-open").getBoundingClientRect().top < document.getElementById("totp-qr").getBoundingClientRect().top`)
		if phone := width < 760; above != phone {
			t.Errorf("at %d px the link to the app above the QR = %t, want %t", width, above, phone)
		}
	}
}

func TestCompleteCodeSendsItselfOnce(t *testing.T) {
	browser := newBrowser(t)
	url, _, posts := serveStories(t)
	open(t, browser, url+"/story/challenge")
	do(t, browser, chromedp.KeyEvent("12 345"))
	receiveNothing(t, posts)
	do(t, browser, chromedp.KeyEvent("6"))
	receive(t, browser, posts, "code=12+3456")
	receiveNothing(t, posts)
}

func TestCodeAfterARefusalWaitsForThePerson(t *testing.T) {
	browser := newBrowser(t)
	url, _, posts := serveStories(t)
	open(t, browser, url+"/story/challenge-replayed")
	do(t, browser, chromedp.KeyEvent("123456"))
	receiveNothing(t, posts)
	do(t, browser, chromedp.KeyEvent("\r"))
	receive(t, browser, posts, "code=123456")
}

func TestCodeBeforeTheCountdownEndsDoesNotSendItself(t *testing.T) {
	browser := newBrowser(t)
	url, _, posts := serveStories(t)
	open(t, browser, url+"/story/challenge-after-enrolment")
	do(t, browser, chromedp.KeyEvent("123456"))
	receiveNothing(t, posts)
	eventually(t, browser, `/comes in (2[0-3]|1\d) seconds\.$/.test(document.getElementById("wait").textContent)`)
	evaluate[bool](t, browser, `(() => { const late = Date.now() + 60000; Date.now = () => late; return true; })()`)
	eventually(t, browser, `document.getElementById("wait").textContent === "A new code is there. Enter it now."`)
	evaluate[string](t, browser, `document.getElementById("code").value = ""`)
	do(t, browser, chromedp.KeyEvent("654321"))
	receive(t, browser, posts, "code=654321")
}

func TestTwoClicksPostOnce(t *testing.T) {
	browser := newBrowser(t)
	url, _, posts := serveStories(t)
	open(t, browser, url+"/story/recovery-codes")
	// The second click comes while the answer to the first is not there yet.
	evaluate[bool](t, browser, `(() => { const b = document.getElementById("recovery-codes-done"); b.click(); setTimeout(() => b.click(), 100); return true; })()`)
	receive(t, browser, posts, "")
	receiveNothing(t, posts)
}

func TestPasswordCanBeShownAndIsHiddenAgainWhenSent(t *testing.T) {
	browser := newBrowser(t)
	url, _, posts := serveStories(t)
	open(t, browser, url+"/story/activate")
	do(t, browser, chromedp.KeyEvent("horse"), chromedp.Click(chromedp.CSS("[data-reveal]")))
	const state = `[document.getElementById("new_password").type, document.querySelector("[data-reveal]").textContent, document.querySelector("[data-reveal]").getAttribute("aria-pressed")].join()`
	if got, want := evaluate[string](t, browser, state), "text,Hide password,true"; got != want {
		t.Errorf("after a click: %s, want %s", got, want)
	}
	evaluate[bool](t, browser, `(() => { document.forms[0].addEventListener("submit", (e) => e.preventDefault()); document.getElementById("activate-submit").click(); return true; })()`)
	if got, want := evaluate[string](t, browser, state), "password,Show password,false"; got != want {
		t.Errorf("when sent: %s, want %s", got, want)
	}
	receiveNothing(t, posts)
}

func TestCopyTakesTheKeyWithoutSpacesAndTheCodesByLine(t *testing.T) {
	browser := newBrowser(t)
	url, _, _ := serveStories(t)
	for story, want := range map[string]string{"enroll": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "recovery-codes": "k7m2-9xqd-4hpw\n3fzt-v8rc-2ynb\n"} {
		open(t, browser, url+"/story/"+story)
		evaluate[bool](t, browser, `(() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; return true; })()`)
		do(t, browser, chromedp.Click(chromedp.CSS("[data-copy]")))
		eventually(t, browser, `document.querySelector("[data-copy]").textContent === "Copied"`)
		if got := evaluate[string](t, browser, `copied`); !strings.HasPrefix(got, want) {
			t.Errorf("%s: copied %q, want %q", story, got, want)
		}
		eventually(t, browser, `document.querySelector("[data-copy]").textContent === "Copy"`)
	}
}

func TestCopyWithoutAClipboardSelects(t *testing.T) {
	browser := newBrowser(t)
	url, _, _ := serveStories(t)
	open(t, browser, url+"/story/enroll")
	evaluate[bool](t, browser, `(() => { Object.defineProperty(navigator, "clipboard", { value: undefined }); return true; })()`)
	do(t, browser, chromedp.Click(chromedp.CSS("[data-copy]")))
	eventually(t, browser, `getSelection().toString() === "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP"`)
}

func TestPagesWorkWithoutScript(t *testing.T) {
	browser := newBrowser(t)
	url, _, posts := serveStories(t)
	if _, err := chromedp.Call(browser, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	open(t, browser, url+"/story/login")
	do(t, browser, chromedp.KeyEvent("ann\tpass\r"))
	receive(t, browser, posts, "username=ann&password=pass")
	open(t, browser, url+"/story/challenge")
	do(t, browser, chromedp.KeyEvent("123456"))
	receiveNothing(t, posts)
	do(t, browser, chromedp.KeyEvent("\r"))
	receive(t, browser, posts, "code=123456")
	open(t, browser, url+"/story/terms")
	do(t, browser, chromedp.Click(chromedp.CSS("#accept")), chromedp.Click(chromedp.CSS("#terms-submit")))
	receive(t, browser, posts, "accept=1")
	open(t, browser, url+"/story/terms")
	do(t, browser, chromedp.Click(chromedp.CSS("#terms-decline")))
	receive(t, browser, posts, "decline=1")
	open(t, browser, url+"/story/consent")
	do(t, browser, chromedp.Click(chromedp.CSS("#consent-deny")))
	receive(t, browser, posts, "deny=1")
	open(t, browser, url+"/story/enroll")
	if evaluate[bool](t, browser, `document.querySelector("[data-copy]").checkVisibility()`) {
		t.Error("a button shows that only script can serve")
	}
}
