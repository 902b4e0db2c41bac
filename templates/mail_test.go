package templates

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

const mailLink = "https://login.example/activate?token=Zk3_r-x9QmB7&next=1"

// mailStories are all mails, with what changes their words.
func mailStories() map[string]Mail {
	at := time.Date(2026, 3, 4, 17, 5, 0, 0, time.FixedZone("", 3600))
	frame := MailFrame{Name: "Ann Example", Portal: "Partner Analytics", Colour: "#0f766e", Issuer: "https://login.example"}
	nobody := MailFrame{Issuer: "https://login.example"}
	return map[string]Mail{
		"invitation":           InvitationMail{MailFrame: frame, InvitedBy: "Bob Builder", UserName: "ann@acme.example", Link: mailLink, ExpiresAt: at},
		"invitation-access":    InvitationMail{MailFrame: frame, UserName: "ann@acme.example", Link: mailLink, ExpiresAt: at, NewAccess: true},
		"invitation-plain":     InvitationMail{MailFrame: nobody, Link: mailLink},
		"password-reset":       PasswordResetMail{MailFrame: frame, Link: mailLink, ExpiresAt: at},
		"password-ended":       PasswordResetMail{MailFrame: frame, Link: mailLink, ExpiresAt: at, Invalidated: true},
		"password-changed":     PasswordChangedMail{MailFrame: frame, At: at},
		"authenticator-added":  AuthenticatorAddedMail{MailFrame: nobody, At: at},
		"authenticator-new":    AuthenticatorAddedMail{MailFrame: frame, At: at, Replaced: true},
		"recovery-code-used":   RecoveryCodeUsedMail{MailFrame: frame, At: at, Left: 9},
		"recovery-code-last":   RecoveryCodeUsedMail{MailFrame: frame, At: at},
		"second-factor-reset":  SecondFactorResetMail{MailFrame: frame, At: at, By: "Bob Builder"},
		"backchannel":          BackchannelMail{MailFrame: frame, Link: mailLink, ExpiresAt: at},
		"backchannel-plain":    BackchannelMail{MailFrame: nobody, Link: mailLink},
		"second-factor-nobody": SecondFactorResetMail{MailFrame: nobody},
	}
}

func eachMail(t *testing.T, check func(t *testing.T, m Mail, message Message, d document)) {
	t.Helper()
	r := newTestRenderer(t)
	for name, m := range mailStories() {
		t.Run(name, func(t *testing.T) {
			message, err := r.Mail(m)
			if err != nil {
				t.Fatal(err)
			}
			check(t, m, message, parseDocument(t, []byte(message.HTML)))
		})
	}
}

// linkOf returns the link of a mail that has one.
func linkOf(m Mail) string {
	if f := reflect.ValueOf(m).FieldByName("Link"); f.IsValid() {
		return f.String()
	}
	return ""
}

func TestMailLinkStandsOnALineOfItsOwnAndOnOneButton(t *testing.T) {
	eachMail(t, func(t *testing.T, m Mail, message Message, d document) {
		link := linkOf(m)
		var hrefs []string
		for _, n := range d.find(func(n *html.Node) bool { return n.Data == "a" }) {
			hrefs = append(hrefs, attr(n, "href"))
		}
		if link == "" {
			if len(hrefs) != 0 {
				t.Errorf("mail without a link has %q", hrefs)
			}
			return
		}
		if !slices.Contains(strings.Split(message.Text, "\n"), link) {
			t.Errorf("no line of the text is the link %q:\n%s", link, message.Text)
		}
		if !slices.Equal(hrefs, []string{link, link}) {
			t.Errorf("links = %q, want the button and the address written out", hrefs)
		}
		if !strings.Contains(text(d.root), link) {
			t.Error("the link is not written out")
		}
	})
}

func TestInvitationButtonSaysCompleteTheActivation(t *testing.T) {
	eachMail(t, func(t *testing.T, m Mail, message Message, d document) {
		if _, ok := m.(InvitationMail); !ok {
			t.Skip("not an invitation")
		}
		button := d.find(func(n *html.Node) bool { return n.Data == "a" })[0]
		if got := text(button); got != "Complete the Activation" {
			t.Errorf("button = %q", got)
		}
		if !strings.Contains(message.Text, "Complete the Activation:\n\n"+mailLink+"\n") {
			t.Errorf("text does not say what the link is:\n%s", message.Text)
		}
	})
}

func TestMailPartsSayTheSame(t *testing.T) {
	squeeze := func(s string) string { return strings.ReplaceAll(s, " ", "") }
	eachMail(t, func(t *testing.T, m Mail, message Message, d document) {
		body := squeeze(text(d.find(func(n *html.Node) bool { return n.Data == "body" })[0]))
		for line := range strings.Lines(message.Text) {
			line = squeeze(strings.TrimSuffix(strings.TrimSpace(line), ":"))
			if line != "--" && !strings.Contains(body, line) {
				t.Errorf("the HTML part does not say %q", line)
			}
		}
	})
}

func TestMailsLoadNothingAndTrackNobody(t *testing.T) {
	address := regexp.MustCompile(`[a-z]+://[^\s"'<>]+`)
	eachMail(t, func(t *testing.T, m Mail, message Message, d document) {
		for _, n := range d.all {
			if slices.Contains([]string{"img", "script", "link", "iframe", "form", "video"}, n.Data) || has(n, "src") || has(n, "background") {
				t.Errorf("mail has a <%s>", n.Data)
			}
		}
		for _, found := range address.FindAllString(html.UnescapeString(message.HTML), -1) {
			if found != linkOf(m) && found != "https://login.example" {
				t.Errorf("mail names the address %q", found)
			}
		}
	})
}

func TestMailsSpeakPlainly(t *testing.T) {
	jargon := regexp.MustCompile(`(?i)\b(otp|totp|mfa|2fa|idp|token|oops|invalid|second factor|click here)\b|!|<no value>|0001`)
	eachMail(t, func(t *testing.T, m Mail, message Message, d document) {
		words := strings.ReplaceAll(message.Subject+"\n"+message.Text, mailLink, "")
		if word := jargon.FindString(words); word != "" {
			t.Errorf("mail says %q:\n%s", word, words)
		}
		for _, want := range []string{"You get this message because", "Sent by Anteroom", "https://login.example"} {
			if !strings.Contains(words, want) {
				t.Errorf("mail does not say %q", want)
			}
		}
		if f := reflect.ValueOf(m).FieldByName("ExpiresAt"); f.IsValid() && !f.Interface().(time.Time).IsZero() && !strings.Contains(words, "4 March 2026, 16:05 UTC") {
			t.Errorf("mail does not say how long it is good for:\n%s", words)
		}
		if strings.Contains(message.Text, "\n\n\n") || strings.TrimSpace(message.Text)+"\n" != message.Text {
			t.Errorf("text has holes:\n%q", message.Text)
		}
	})
}

// A name must not begin a header, a line of the text, or markup.
func TestMailNamesStayNames(t *testing.T) {
	r := newTestRenderer(t)
	evil := "Eve\r\nBcc: all@acme.example\n\nhttps://evil.example\u2028x\u202e<script>alert(1)</script><a href='https://evil.example'>\x00"
	for _, m := range mails() {
		v := reflect.New(reflect.TypeOf(m)).Elem()
		hostile(v, evil)
		if f := v.FieldByName("Link"); f.IsValid() {
			f.SetString(mailLink)
		}
		v.FieldByName("Issuer").SetString("https://login.example") // the operator's own
		message, err := r.Mail(v.Interface().(Mail))
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(message.Subject, "\r\n\x00") {
			t.Errorf("%s: subject %q has a line break", m.mailName(), message.Subject)
		}
		for line := range strings.Lines(message.Text) {
			if strings.HasPrefix(line, "Bcc:") || strings.Contains(line, "https://evil") || strings.ContainsAny(line, "\r\x00\u202e\u2028") {
				t.Errorf("%s: text has the line %q", m.mailName(), line)
			}
		}
		for _, n := range parseDocument(t, []byte(message.HTML)).all {
			if n.Data == "script" || n.Data == "a" && attr(n, "href") != mailLink {
				t.Errorf("%s: a <%s> %q got in", m.mailName(), n.Data, attr(n, "href"))
			}
		}
	}
}

func TestPlainMakesOneShortLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"Ann Example":            "Ann Example",
		" Ann\t \r\n Example ":   "Ann Example",
		"ليلى بنت":               "ليلى بنت",
		"a\x00b\x1bc\u202ed":     "abcd",
		"\xff\xfeAnn":            "Ann",
		"http://evil.example":    "http evil.example",
		strings.Repeat("é", 120): strings.Repeat("é", 120),
		strings.Repeat("é", 121): strings.Repeat("é", 119) + "…",
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
}
