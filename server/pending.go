//go:build pending

package server

import (
	_ "github.com/chromedp/chromedp"
	_ "github.com/emersion/go-sasl"
	_ "github.com/emersion/go-smtp"
	_ "github.com/go-jose/go-jose/v3"
	_ "github.com/go-jose/go-jose/v4"
	_ "github.com/gorilla/mux"
	_ "github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/makiuchi-d/gozxing"
	_ "github.com/pquerna/otp/totp"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/spf13/cobra"
	_ "github.com/wneessen/go-mail"
	_ "github.com/yeqown/go-qrcode/v2"
	_ "golang.org/x/net/html"
)
