package account

import "encoding/json"

// CheckProfile says what is wrong with claims that somebody wants in a profile,
// by claim: ones that are not standard (OpenID Connect Core section 5.1), have
// the wrong type, or are too long. An empty string is fine: it removes a claim.
func CheckProfile(claims map[string]any) map[string]string {
	wrong := map[string]string{}
	for claim, value := range claims {
		read, ok := claimKinds[claim]
		if !ok {
			wrong[claim] = "is not a standard claim of a profile"
			continue
		}
		if value == "" {
			continue
		}
		raw, err := json.Marshal(value)
		if err == nil {
			_, err = read(raw)
		}
		if err != nil {
			wrong[claim] = err.Error() // ours, from the readers of import lines
		}
	}
	return wrong
}
