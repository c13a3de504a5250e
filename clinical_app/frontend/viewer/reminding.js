// Reminding: Python forgets the list and the links at a reload or a restart; this tab does not.

export function remind(desk, data) {
  if (!data.listed) return;
  for (const study of data.drafts) desk.reviews.open(study);
  const waiting = desk.memory.kept("draft").filter((id) => !desk.reviews.studies.has(id));
  const queue = desk.memory.get("queue") || [];
  const lost = !data.queued && queue.includes(data.case.id);
  if ((!lost && !waiting.length) || desk.reminded) return;
  desk.reminded = true;
  desk.send("kept", { queue: lost ? queue : [], drafts: waiting.slice(0, 20) });
}
