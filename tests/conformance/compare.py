"""Compares the results of the suite in each mode with those of the registry alone: the result of each test, and the statuses
of its requests. A 401 and the response to a token request are ignored. It fails if a test passes with the registry alone
and does not pass in a mode."""

import collections
import re
import sys
import xml.etree.ElementTree as tree

def results(path):
    cases = collections.defaultdict(list)
    for case in tree.parse(path).iter("testcase"):
        name = case.get("name")
        text = case.findtext("system-err") or ""
        answers = re.findall(r"^URL: (\S+).*?^Status: (\d+)", text, re.M | re.S)
        statuses = [status for url, status in answers if status != "401" and "/token?" not in url]
        said = " ".join((case.findtext("failure") or case.findtext("skipped") or "").split())
        cases[name].append((case.get("status"), " ".join(statuses), said))
    # The order of a test with several inputs is random, so the results are sorted.
    return {(name, at): one for name, same in cases.items() for at, one in enumerate(sorted(same))}


def main():
    folder, registry, modes = sys.argv[1], sys.argv[2], sys.argv[3:]
    alone = results(f"{folder}/{registry}-alone/junit.xml")
    absent = ("absent", "", "")
    worse, differences = 0, []
    print(f"{registry:8} {'passed':>7} {'failed':>7} {'skipped':>7} {'other results':>14} {'other statuses':>15}")
    for mode in ["alone", *modes]:
        here = results(f"{folder}/{registry}-{mode}/junit.xml")
        count = collections.Counter(end for end, _, _ in here.values())
        names = list(dict.fromkeys([*alone, *here]))
        ends = [name for name in names if alone.get(name, absent)[0] != here.get(name, absent)[0]]
        statuses = [name for name in names if alone.get(name, absent)[1] != here.get(name, absent)[1]]
        row = [count[end] for end in ("passed", "failure", "skipped")]
        print(f"{mode:8} {row[0]:7} {row[1]:7} {row[2]:7} {len(ends):14} {len(statuses):15}")
        for name in dict.fromkeys(ends + statuses):
            before, after = alone.get(name, absent), here.get(name, absent)
            differences.append(f"{mode}: {name[0]}: alone {before[0]} ({before[1]}), here {after[0]} ({after[1]}) {after[2][:300]}")
        worse += sum(1 for name in ends if alone.get(name, absent)[0] == "passed")
    print("\n".join(differences))
    return 1 if worse or len(alone) < 300 else 0


sys.exit(main())
