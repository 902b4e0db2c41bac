package flow_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"anteroom/flow"
)

// RFC 8628 section 3.3: letting a device in is a sign-in like any other, and asks
// whoever is signed in already, too.
func TestLettingADeviceInGoesThroughTheFlow(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	begin := &url.URL{Scheme: "http", Host: strings.TrimPrefix(s.URL, "http://"), Path: "/device"}
	p := b.at(b.post(begin), "/login")
	p = b.at(b.post(p.url, "username", "ann"), "/mfa/challenge")
	p = b.at(b.post(p.url, "code", "right"), "/portal")
	if !strings.Contains(p.body, "state=tv") || len(s.Issued) != 1 || s.Issued[0].AccountID != "ann" || s.Issued[0].ACR != flow.ACRMulti {
		t.Fatalf("%s, issued %+v", p.body, s.Issued)
	}
	s.Pass(time.Minute)
	p = b.at(b.post(begin), "/login")
	if len(s.Issued) != 1 {
		t.Fatal("a session let a device in without being asked")
	}
	b.at(b.post(p.url, "continue", "1"), "/portal")
	if len(s.Issued) != 2 {
		t.Errorf("issued %+v", s.Issued)
	}
}

func TestADeviceThatIsNotWantedIsRefused(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	begin := &url.URL{Scheme: "http", Host: strings.TrimPrefix(s.URL, "http://"), Path: "/device"}
	p := b.at(b.post(begin), "/login")
	p = b.post(p.url, "username", "zoe")
	if p.status != http.StatusForbidden {
		t.Fatalf("%d %s", p.status, p.body)
	}
	back := b.at(b.post(&url.URL{Scheme: "http", Host: p.url.Host, Path: "/refuse", RawQuery: p.url.RawQuery}), "/portal")
	if !strings.Contains(back.body, "error=access_denied") || len(s.Issued) != 0 {
		t.Errorf("%s, issued %+v", back.body, s.Issued)
	}
}
