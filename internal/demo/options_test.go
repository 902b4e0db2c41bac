package demo

import (
	"strings"
	"testing"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestDemoLivesOnLocalhostUnlessToldOtherwise(t *testing.T) {
	o, err := FromEnv(env())
	if err != nil {
		t.Fatal(err)
	}
	want := Options{
		Issuer: "http://localhost:8080", AnalyticsURL: "http://localhost:8081", PCCURL: "http://localhost:8082",
		Listen: "localhost", Port: 8080, AnalyticsPort: 8081, PCCPort: 8082, DataDir: "data",
	}
	if o != want {
		t.Errorf("got %+v, want %+v", o, want)
	}
}

func TestHostAndPortsMoveEveryURL(t *testing.T) {
	o, err := FromEnv(env(VarHost, "::1", VarPort, "9080", VarAnalytics, "9081", VarPCC, "9082", VarMail, "2525", VarData, "elsewhere"))
	if err != nil {
		t.Fatal(err)
	}
	want := Options{
		Issuer: "http://[::1]:9080", AnalyticsURL: "http://[::1]:9081", PCCURL: "http://[::1]:9082",
		Listen: "::1", Port: 9080, AnalyticsPort: 9081, PCCPort: 9082, MailPort: 2525, DataDir: "elsewhere",
	}
	if o != want {
		t.Errorf("got %+v, want %+v", o, want)
	}
}

func TestIssuerBehindAProxyKeepsThePorts(t *testing.T) {
	o, err := FromEnv(env(VarIssuer, "https://id.example/", VarAnalyticsURL, "https://pa.example", VarListen, "0.0.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	if o.Issuer != "https://id.example" || o.AnalyticsURL != "https://pa.example" || o.Port != 8080 || o.Listen != "0.0.0.0" {
		t.Errorf("got %+v", o)
	}
}

func TestEveryMistakeIsReportedWithItsVariable(t *testing.T) {
	_, err := FromEnv(env(VarHost, "http://x", VarPort, "http", VarAnalytics, "70000", VarPCC, "0", VarIssuer, "ftp://x", VarMail, "-1"))
	if err == nil {
		t.Fatal("six mistakes passed")
	}
	for _, name := range []string{VarHost, VarPort, VarAnalytics, VarPCC, VarIssuer, VarMail} {
		if !strings.Contains(err.Error(), name+" is ") {
			t.Errorf("%s is not named in:\n%v", name, err)
		}
	}
}

func TestThreeListenersNeedThreePorts(t *testing.T) {
	_, err := FromEnv(env(VarPort, "8081"))
	if err == nil || !strings.Contains(err.Error(), "three different ports") {
		t.Errorf("got %v", err)
	}
}

func TestAHostThatNoBrowserCanOpenIsRefused(t *testing.T) {
	_, err := FromEnv(env(VarHost, "0.0.0.0"))
	if err == nil || !strings.Contains(err.Error(), VarListen) {
		t.Errorf("got %v, want a sentence that names %s", err, VarListen)
	}
}

func TestEveryVariableIsDescribed(t *testing.T) {
	for _, v := range Variables() {
		if v.Name == "" || v.Default == "" || v.Meaning == "" {
			t.Errorf("incomplete: %+v", v)
		}
	}
}
