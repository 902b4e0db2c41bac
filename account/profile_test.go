package account

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestCheckProfileNamesTheClaimsThatAreWrong(t *testing.T) {
	wrong := CheckProfile(map[string]any{
		"name": "Ann", "nickname": "", "phone_number_verified": true,
		"address":   map[string]any{"locality": "Oslo"},
		"sub":       "x",
		"locale":    7.0,
		"birthdate": strings.Repeat("1", 3000),
	})
	if got, want := slices.Sorted(maps.Keys(wrong)), []string{"birthdate", "locale", "sub"}; !slices.Equal(got, want) {
		t.Errorf("wrong claims %v, want %v", wrong, want)
	}
}
