package mailbox

import (
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds multipart in multipart; ours is one deep.
const maxDepth = 4

// parse reads a message (RFC 5322, RFC 2045). Envelope fields are the caller's.
func parse(r io.Reader) (Message, error) {
	raw, err := mail.ReadMessage(r)
	if err != nil {
		return Message{}, fmt.Errorf("read the header: %w", err)
	}
	var m Message
	words := new(mime.WordDecoder)
	m.Subject = raw.Header.Get("Subject")
	if decoded, err := words.DecodeHeader(m.Subject); err == nil {
		m.Subject = decoded
	}
	m.Subject = strings.ToValidUTF8(m.Subject, "\uFFFD")
	if err := m.body(textproto.MIMEHeader(raw.Header), raw.Body, 0); err != nil {
		return Message{}, err
	}
	m.Links = links(m.Text, m.HTML)
	return m, nil
}

// body walks the parts; the first text/plain and the first text/html count.
func (m *Message) body(h textproto.MIMEHeader, r io.Reader, depth int) error {
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		kind = "text/plain" // RFC 2045 section 5.2
	}
	if strings.HasPrefix(kind, "multipart/") {
		if depth == maxDepth {
			return fmt.Errorf("more than %d multiparts deep", maxDepth)
		}
		parts := multipart.NewReader(r, params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read a part: %w", err)
			}
			if err := m.body(part.Header, part, depth+1); err != nil {
				return err
			}
		}
	}
	switch strings.ToLower(strings.TrimSpace(h.Get("Content-Transfer-Encoding"))) {
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("decode a %s part: %w", kind, err)
	}
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	switch {
	case kind == "text/plain" && m.Text == "":
		m.Text = text
	case kind == "text/html" && m.HTML == "":
		m.HTML = text
	}
	return nil
}

var (
	inText = regexp.MustCompile(`https?://[^\s<>"'\\^{|}]+`)
	inHTML = regexp.MustCompile(`(?i)href\s*=\s*(?:"([^"]*)"|'([^']*)')`)
)

// links finds the URLs of a mail: first those written out in the text, in order,
// then what only the HTML points to.
func links(text, markup string) []string {
	found := []string{}
	add := func(u string) {
		if u != "" && !slices.Contains(found, u) {
			found = append(found, u)
		}
	}
	for _, u := range inText.FindAllString(text, -1) {
		add(strings.TrimRight(u, ".,;:!?)]"))
	}
	for _, match := range inHTML.FindAllStringSubmatch(markup, -1) {
		u := html.UnescapeString(match[1] + match[2])
		if strings.HasPrefix(u, "http://") || strings.HasPrefix(u, "https://") {
			add(u)
		}
	}
	return found
}
