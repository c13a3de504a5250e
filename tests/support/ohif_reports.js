// What OHIF's own SR handler makes of reports, one JSON line a report.
//
// node ohif_reports.js FOLDER REPORT...   FOLDER holds node_modules with dcmjs and
// @ohif/extension-cornerstone-dicom-sr, as npm installs them. Only the handler is OHIF's: what it
// draws with (React, cornerstone) is replaced by stand-ins that answer everything with themselves.
const fs = require('fs');
const path = require('path');
const Module = require('module');

const [folder, ...files] = process.argv.slice(2);
const installed = Module.createRequire(path.resolve(folder, 'package.json'));

function standIn() {
  return new Proxy(function () {}, {
    get: (_, key) => (key === Symbol.toPrimitive ? () => '' : key === '__esModule' ? true : standIn()),
    apply: () => standIn(),
    construct: () => standIn(),
  });
}
function withStandIns(known) {
  return new Proxy(known, { get: (target, key) => target[key] ?? standIn() });
}
const sr = (number) => `1.2.840.10008.5.1.4.1.1.88.${number}`;
const core = {
  utils: withStandIns({
    sortDisplaySetsCopy: (sets) => sets,
    sortStudyInstances: (all) => all.sort((a, b) => a.InstanceNumber - b.InstanceNumber),
    guid: () => 'guid',
    sopClassDictionary: {
      BasicTextSR: sr(11), EnhancedSR: sr(22), ComprehensiveSR: sr(33), Comprehensive3DSR: sr(34),
    },
  }),
  classes: withStandIns({
    MetadataProvider: { getUIDsFromImageID: (id) => ({ SOPInstanceUID: id, frameNumber: 1 }) },
  }),
};
const adapters = {  // @cornerstonejs/adapters 5.14: Cornerstone3D/constants/index.js
  Cornerstone3D: {
    MeasurementReport: { getAdapterForTrackingIdentifier: () => undefined },
    CodeScheme: { CodingSchemeDesignator: 'CORNERSTONEJS', codeValues: { CORNERSTONEFREETEXT: 'CORNERSTONEFREETEXT' } },
    COMMENT_CODE: { schemeDesignator: 'DCM', value: '121106', meaning: 'Comment' },
    TEXT_ANNOTATION_POSITION: {},
  },
};
const load = Module._load;
Module._load = function (id, ...rest) {
  if (id === '@ohif/core') return withStandIns(core);
  if (id === '@cornerstonejs/adapters') return { adaptersSR: adapters };
  if (/^(@ohif|@cornerstonejs|react|prop-types|classnames|i18n)/.test(id)) return standIn();
  return load.call(this, id, ...rest);
};
global.window = global.self = global;
console.warn = console.info = () => {};
const print = console.log;
console.log = () => {};

const dcmjs = installed('dcmjs');
const dist = path.join(folder, 'node_modules/@ohif/extension-cornerstone-dicom-sr/dist');
const loaded = require(path.resolve(dist, fs.readdirSync(dist).find((name) => name.endsWith('.umd.js'))));
const extension = loaded.default ?? loaded;

const services = withStandIns({
  displaySetService: { activeDisplaySets: [], EVENTS: {}, subscribe() {} },
  measurementService: { getSourceMappings: () => [] },
  customizationService: { getCustomization: () => undefined },
});
const sources = [{ retrieve: {}, getImageIdsForDisplaySet: () => [] }];
const handlers = extension.getSopClassHandlerModule({
  servicesManager: { services },
  extensionManager: { getActiveDataSource: () => sources, getDataSources: () => sources },
});

const bySeries = {};
for (const file of files) {
  const read = dcmjs.data.DicomMessage.readFile(fs.readFileSync(file).buffer);
  const instance = dcmjs.data.DicomMetaDictionary.naturalizeDataset(read.dict);
  (bySeries[instance.SeriesInstanceUID] ??= []).push(instance);
}
(async () => {
  for (const instances of Object.values(bySeries)) {
    const handler = handlers.find((one) => one.sopClassUids.includes(instances[0].SOPClassUID));
    for (const shown of handler.getDisplaySetsFromSeries(instances)) {
      await shown.load();
      print(JSON.stringify({
        sop_uid: shown.SOPInstanceUID,
        n: shown.measurements.length,
        images: shown.measurements.flatMap((one) =>
          one.coords.map((coords) => coords.ReferencedSOPSequence.ReferencedSOPInstanceUID)),
        labels: shown.measurements.map((one) => one.labels[0].label),
      }));
    }
  }
})().catch((error) => { print(error.stack); process.exit(1); });
