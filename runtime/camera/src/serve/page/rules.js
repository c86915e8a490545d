
// Rules: those of the command line are shown, those of the page's file can be changed.
let ruled = "";

async function save_rules(rules, told) {
  try {
    const answer = await fetch("api/rules", { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ rules }) });
    if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
    $("ruled").textContent = told;
    $("unruled").textContent = "";
    return true;
  } catch (e) {
    $("ruled").textContent = "";
    $("unruled").textContent = e.message + ".";
    return false;
  }
}
const edited = rules => rules.filter(r => r.editable).map(r => r.rule);
function rule_row(rule, rules) {
  const row = element("li", "", { className: rule.holds ? "holds" : "" }), what = element("span", rule.rule, { className: "what" });
  const state = element("span", !rule.known ? "no such label" : rule.holds ? "holds" : "", { className: "soft" });
  row.append(what, state);
  if (rule.editable) {
    row.append(button("Remove", "Remove the rule " + rule.rule, () => save_rules(edited(rules.filter(r => r !== rule)), rule.rule + " is removed.")));
  } else {
    row.append(element("span", "--when", { className: "soft", title: "From the command line" }));
  }
  return row;
}
function obey(rules, file) {
  const now = JSON.stringify([rules, file]);
  if (now === ruled) return;
  ruled = now;
  $("rules").hidden = !rules.length && !file;
  $("new_rule").hidden = !file;
  // A button that has the keyboard keeps it.
  const label = document.activeElement?.getAttribute?.("aria-label");
  $("rule_list").replaceChildren(...rules.map(rule => rule_row(rule, rules)));
  if (label) [...document.querySelectorAll("#rule_list button")].find(b => b.getAttribute("aria-label") === label)?.focus();
  $("new_rule").onsubmit = async e => {
    e.preventDefault();
    const text = $("rule").value.trim();
    if (text && await save_rules([...edited(rules), text], text + " is added.")) $("rule").value = "";
  };
}
