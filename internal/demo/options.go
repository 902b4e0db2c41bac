package demo

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"anteroom/config"
)

// The variables that move the demo.
const (
	VarHost         = "ANTEROOM_DEMO_HOST"
	VarListen       = "ANTEROOM_DEMO_LISTEN"
	VarPort         = "ANTEROOM_DEMO_PORT"
	VarIssuer       = "ANTEROOM_DEMO_ISSUER"
	VarAnalytics    = "ANTEROOM_DEMO_ANALYTICS_PORT"
	VarAnalyticsURL = "ANTEROOM_DEMO_ANALYTICS_URL"
	VarPCC          = "ANTEROOM_DEMO_PCC_PORT"
	VarPCCURL       = "ANTEROOM_DEMO_PCC_URL"
	VarMail         = "ANTEROOM_DEMO_MAIL_PORT"
	VarData         = "ANTEROOM_DEMO_DATA"
	VarStore        = "ANTEROOM_DEMO_STORE"
)

// Variable describes one of them, for the help text and the documentation.
type Variable struct{ Name, Default, Meaning string }

// Variables lists all of them.
func Variables() []Variable {
	return []Variable{
		{VarHost, "localhost", "host name in every URL"},
		{VarListen, "the host", "address to listen on, if it is another one (0.0.0.0 in a container)"},
		{VarPort, "8080", "port of the issuer"},
		{VarIssuer, "http://HOST:PORT", "the issuer's URL, if a proxy changes it"},
		{VarAnalytics, "8081", "port of Partner Analytics"},
		{VarAnalyticsURL, "http://HOST:8081", "its URL, if a proxy changes it"},
		{VarPCC, "8082", "port of the Control Center (PCC)"},
		{VarPCCURL, "http://HOST:8082", "its URL, if a proxy changes it"},
		{VarMail, "any free one", "port of the demo's mail server, always on this machine only"},
		{VarData, "./data", "folder of the demo's state"},
		{VarStore, "a file in that folder", "where everything is kept, such as postgres://user@host/database"},
	}
}

// Options say where the demo lives. Get them from FromEnv.
type Options struct {
	Issuer        string // URL without a slash at the end
	AnalyticsURL  string
	PCCURL        string
	Listen        string // host part of the three listeners
	Port          int
	AnalyticsPort int
	PCCPort       int
	MailPort      int // 0: any free one
	DataDir       string
	Store         config.Secret // as the key store of the configuration; "": a file in DataDir
}

// FromEnv reads the variables. The error joins a sentence for each mistake.
func FromEnv(getenv func(string) string) (Options, error) {
	var mistakes []error
	get := func(name, fallback string) string {
		if v := strings.TrimSpace(getenv(name)); v != "" {
			return v
		}
		return fallback
	}
	port := func(name string, fallback, least int) int {
		text := get(name, strconv.Itoa(fallback))
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > 65535 {
			mistakes = append(mistakes, fmt.Errorf("%s is %q: write a port, %d to 65535", name, text, least))
		}
		return n
	}
	host := get(VarHost, "localhost")
	if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil && ip.IsUnspecified() {
		mistakes = append(mistakes, fmt.Errorf("%s is %q, which no browser can open: name this machine here, and set %s=%s to listen everywhere", VarHost, host, VarListen, host))
	} else if strings.ContainsAny(host, "/:?#@ ") && ip == nil {
		mistakes = append(mistakes, fmt.Errorf("%s is %q: write a host name alone, without scheme or port", VarHost, host))
	}
	address := func(name string, p int) string {
		base := "http://" + net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(p))
		text := strings.TrimSuffix(get(name, base), "/")
		u, err := url.Parse(text)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			mistakes = append(mistakes, fmt.Errorf("%s is %q: write a URL without a path, such as http://localhost:%d", name, text, p))
		}
		return text
	}
	o := Options{
		Listen:        strings.Trim(get(VarListen, host), "[]"),
		Port:          port(VarPort, 8080, 1),
		AnalyticsPort: port(VarAnalytics, 8081, 1),
		PCCPort:       port(VarPCC, 8082, 1),
		MailPort:      port(VarMail, 0, 0),
		DataDir:       get(VarData, "data"),
		Store:         config.Secret(get(VarStore, "")),
	}
	if o.Port == o.AnalyticsPort || o.Port == o.PCCPort || o.AnalyticsPort == o.PCCPort {
		mistakes = append(mistakes, fmt.Errorf("%s, %s and %s need three different ports; they are %d, %d and %d", VarPort, VarAnalytics, VarPCC, o.Port, o.AnalyticsPort, o.PCCPort))
	}
	o.Issuer = address(VarIssuer, o.Port)
	o.AnalyticsURL = address(VarAnalyticsURL, o.AnalyticsPort)
	o.PCCURL = address(VarPCCURL, o.PCCPort)
	return o, errors.Join(mistakes...)
}
