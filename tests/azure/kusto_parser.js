// Reads {"query", "tables": {name: "(column: type, ...)"}} and says what Kusto's own parser finds wrong with the query,
// and which columns it answers with.
require("@kusto/language-service-next/bridge.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.js");

const { KustoCode, GlobalState, Symbols } = Kusto.Language;
const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
const tables = Object.entries(asked.tables).map(([name, schema]) => Symbols.TableSymbol.From(schema).WithName(name));

// The library was translated from C#: its constructors are numbered, and only one of them takes a list of tables.
function database() {
    for (const made of Object.keys(Symbols.DatabaseSymbol).filter((name) => name.includes("ctor"))) {
        try {
            const found = new Symbols.DatabaseSymbol[made]("logs", tables);
            if (found.Tables && found.Tables.Count === tables.length) return found;
        } catch {
            continue;
        }
    }
    throw new Error("no constructor takes a list of tables");
}

function listed(found, said) {
    return Array.from({ length: found ? found.Count : 0 }, (_, place) => said(found.getItem(place)));
}

const code = KustoCode.ParseAndAnalyze(asked.query, GlobalState.Default.WithDatabase(database()));
const answer = {
    wrong: listed(code.GetDiagnostics(), (one) => `${one.Message} (${asked.query.substr(one.Start, one.Length)})`),
    columns: Object.fromEntries(listed(code.ResultType?.Columns, (one) => [one.Name, one.Type.Name])),
};
console.log(JSON.stringify(answer));
