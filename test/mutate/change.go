package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A change is a mutation of one place in the code.
type change struct {
	at       token.Position
	from, to string
	// line is the source line without surrounding blanks.
	line string
	// nth numbers equal changes of a file, from 1.
	nth int
}

func (c change) String() string {
	return fmt.Sprintf("%s: %s becomes %s\n\t%s", c.at, c.from, c.to, c.key())
}

// key identifies a change. It does not depend on the line number.
func (c change) key() string {
	return strings.Join([]string{filepath.ToSlash(c.at.Filename), c.line, c.from, c.to, strconv.Itoa(c.nth)}, separator)
}

// separator separates the fields of a key.
const separator = " | "

// An edit of a source text, at an offset.
type edit struct {
	at, remove int
	insert     string
	// order is the order of edits at the same offset: first the ends of nodes, the
	// innermost first, then the beginnings, the outermost first.
	order int
}

// A changer finds the changes of a file and edits its source so that each of them can be
// activated at run time.
type changer struct {
	*code
	source  []byte
	next    func(change) int
	edits   []edit
	parents []ast.Node
}

// changed returns the source of a file with all changes. next returns the number of a change.
func (c *code) changed(file *ast.File, source []byte, next func(change) int) []byte {
	w := &changer{code: c, source: source, next: next}
	ast.PreorderStack(file, nil, func(n ast.Node, parents []ast.Node) bool {
		w.parents = parents
		return w.visit(n)
	})
	slices.SortStableFunc(w.edits, func(a, b edit) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order)) })
	var out []byte
	done := 0
	for _, e := range w.edits {
		out = append(append(out, source[done:e.at]...), e.insert...)
		done = e.at + e.remove
	}
	return append(out, source[done:]...)
}

func (w *changer) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok == token.VAR
	case ast.Expr:
		if is := w.info.Types[n]; is.IsType() {
			return false
		} else if is.Value != nil {
			w.literal(n)
			return false
		}
	}
	switch n := n.(type) {
	case *ast.BinaryExpr:
		w.binary(n)
	case *ast.UnaryExpr:
		w.unary(n)
	case *ast.IncDecStmt:
		w.step(n)
	case *ast.AssignStmt:
		w.assign(n)
	case *ast.BranchStmt:
		w.branch(n)
	}
	return true
}

// add registers a change and returns its number.
func (w *changer) add(at token.Pos, from, to string) int {
	position := w.files.Position(at)
	line := string(w.source[w.offset(at)-position.Column+1:])
	line, _, _ = strings.Cut(line, "\n")
	return w.next(change{at: position, from: from, to: to, line: strings.TrimSpace(line), nth: 1})
}

func (w *changer) offset(at token.Pos) int { return w.files.Position(at).Offset }

func (w *changer) replace(at token.Pos, old, text string) {
	w.edits = append(w.edits, edit{at: w.offset(at), remove: len(old), insert: text, order: len(w.edits)})
}

// enclose puts text before and after a node, inside of earlier texts.
func (w *changer) enclose(n ast.Node, before, after string) {
	w.edits = append(w.edits,
		edit{at: w.offset(n.Pos()), insert: before, order: len(w.edits)},
		edit{at: w.offset(n.End()), insert: after, order: -len(w.edits) - 1})
}

// call turns an expression with an operator into a call with a number and the operands.
func (w *changer) call(id int, function string, n *ast.BinaryExpr) {
	w.enclose(n, fmt.Sprintf("%s(%d, ", function, id), ")")
	w.replace(n.OpPos, n.Op.String(), ",")
}

func (w *changer) binary(n *ast.BinaryExpr) {
	kind, from := w.kindOf(n.X)|w.kindOf(n.Y), n.Op.String()
	switch op := operators()[n.Op]; {
	case w.kindOf(n) == 0:
	case n.Op == token.LAND || n.Op == token.LOR:
		w.call(w.add(n.OpPos, from, op.to), op.function, n)
		w.enclose(n.Y, "func() bool { return ", " }")
	case n.Op == token.EQL || n.Op == token.NEQ:
		w.enclose(n, fmt.Sprintf("mutantNot(%d, ", w.add(n.OpPos, from, op.to)), ")")
	case op.boundary != "" && kind&(types.IsNumeric|types.IsString) != 0:
		id := w.add(n.OpPos, from, op.boundary)
		w.add(n.OpPos, from, op.to)
		w.call(id, op.function, n)
	case (n.Op == token.SHL || n.Op == token.SHR) && w.info.Types[n.X].Value != nil: // of a type that depends on where it stands
	case op.boundary == "" && kind&types.IsNumeric != 0:
		w.call(w.add(n.OpPos, from, op.to), op.function, n)
	}
}

// kindOf returns the kind of an expression: number, string, boolean, or 0 for other kinds.
func (w *changer) kindOf(e ast.Expr) types.BasicInfo {
	of := w.info.Types[e].Type
	if _, generic := of.(*types.TypeParam); generic || of == nil {
		return 0
	}
	basic, ok := of.Underlying().(*types.Basic)
	if !ok {
		return 0
	}
	if _, named := of.(*types.Named); named && basic.Info()&types.IsBoolean != 0 {
		return 0
	}
	return basic.Info()
}

func (w *changer) unary(n *ast.UnaryExpr) {
	switch {
	case n.Op == token.NOT && w.kindOf(n) != 0:
		w.enclose(n, fmt.Sprintf("mutantNot(%d, ", w.add(n.OpPos, "!", "nothing")), ")")
	case n.Op == token.SUB && w.kindOf(n)&types.IsNumeric != 0:
		w.enclose(n, fmt.Sprintf("mutantNegative(%d, ", w.add(n.OpPos, "-", "nothing")), ")")
		w.replace(n.OpPos, "-", "")
	}
}

// literal changes true and false.
func (w *changer) literal(n ast.Expr) {
	name, ok := n.(*ast.Ident)
	if !ok || w.kindOf(n) == 0 || name.Name != "true" && name.Name != "false" {
		return
	}
	if _, ofCase := w.parents[len(w.parents)-1].(*ast.CaseClause); ofCase {
		return
	}
	to := map[string]string{"true": "false", "false": "true"}[name.Name]
	w.enclose(n, fmt.Sprintf("mutantNot(%d, ", w.add(n.Pos(), name.Name, to)), ")")
}

func (w *changer) step(n *ast.IncDecStmt) {
	if !w.addressable(n.X) {
		return
	}
	function, to := "mutantIncrement", "--"
	if n.Tok == token.DEC {
		function, to = "mutantDecrement", "++"
	}
	w.enclose(n.X, fmt.Sprintf("%s(%d, &", function, w.add(n.TokPos, n.Tok.String(), to)), ")")
	w.replace(n.TokPos, n.Tok.String(), "")
}

func (w *changer) assign(n *ast.AssignStmt) {
	op, ok := operators()[n.Tok-token.ADD_ASSIGN+token.ADD]
	if n.Tok < token.ADD_ASSIGN || n.Tok > token.AND_NOT_ASSIGN || !ok {
		return
	}
	shift := n.Tok == token.SHL_ASSIGN || n.Tok == token.SHR_ASSIGN
	if x := n.Lhs[0]; w.kindOf(x)&types.IsNumeric == 0 || shift || !w.addressable(x) {
		return
	}
	id := w.add(n.TokPos, n.Tok.String(), op.to+"=")
	w.add(n.TokPos, n.Tok.String(), "=")
	w.enclose(n, fmt.Sprintf("mutantAssign(%d, %s, &", id, op.function), ")")
	w.replace(n.TokPos, n.Tok.String(), ",")
}

func (w *changer) addressable(e ast.Expr) bool {
	is := w.info.Types[e]
	_, generic := is.Type.(*types.TypeParam)
	return is.Addressable() && !generic
}

// branch exchanges break and continue where both are allowed.
func (w *changer) branch(n *ast.BranchStmt) {
	if n.Label != nil || n.Tok != token.BREAK && n.Tok != token.CONTINUE {
		return
	}
	for _, p := range slices.Backward(w.parents) {
		switch p := p.(type) {
		case *ast.ForStmt:
			if p.Cond == nil && n.Tok == token.CONTINUE {
				return // no statement need follow a loop that only a break ends
			}
		case *ast.RangeStmt:
		case *ast.FuncLit, *ast.FuncDecl:
			return
		default:
			continue
		}
		break
	}
	to := token.CONTINUE
	if n.Tok == token.CONTINUE {
		to = token.BREAK
	}
	w.replace(n.TokPos, n.Tok.String(), fmt.Sprintf("{ if mutantOn(%d) { %s }; %s }", w.add(n.TokPos, n.Tok.String(), to.String()), to, n.Tok))
}

// An operator, its replacement, and the function for both.
type operator struct{ function, to, boundary string }

func operators() map[token.Token]operator {
	return map[token.Token]operator{
		token.LAND:    {"mutantAnd", "||", ""},
		token.LOR:     {"mutantOr", "&&", ""},
		token.EQL:     {"", "!=", ""},
		token.NEQ:     {"", "==", ""},
		token.LSS:     {"mutantLess", ">=", "<="},
		token.LEQ:     {"mutantLessOrEqual", ">", "<"},
		token.GTR:     {"mutantGreater", "<=", ">="},
		token.GEQ:     {"mutantGreaterOrEqual", "<", ">"},
		token.ADD:     {"mutantAdd", "-", ""},
		token.SUB:     {"mutantSubtract", "+", ""},
		token.MUL:     {"mutantMultiply", "/", ""},
		token.QUO:     {"mutantDivide", "*", ""},
		token.REM:     {"mutantRemainder", "*", ""},
		token.AND:     {"mutantBitAnd", "|", ""},
		token.OR:      {"mutantBitOr", "&", ""},
		token.XOR:     {"mutantBitXor", "&", ""},
		token.AND_NOT: {"mutantBitClear", "&", ""},
		token.SHL:     {"mutantShiftLeft", ">>", ""},
		token.SHR:     {"mutantShiftRight", "<<", ""},
	}
}
